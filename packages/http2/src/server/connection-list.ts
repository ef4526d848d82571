import type { AcceptedConnection } from "./accepted-connection.js";

/** The connections of a server as an intrusive doubly linked list: adding and removing allocates nothing. */
export class ConnectionList {
  first: AcceptedConnection | null = null;
  size = 0;

  add(c: AcceptedConnection): void {
    c.next = this.first;
    if (this.first !== null) this.first.previous = c;
    this.first = c;
    this.size++;
  }

  remove(c: AcceptedConnection): void {
    if (c.previous !== null) c.previous.next = c.next;
    else if (this.first === c) this.first = c.next;
    else return;
    if (c.next !== null) c.next.previous = c.previous;
    c.previous = null;
    c.next = null;
    this.size--;
  }

  /** The visit may remove any connection, also others than the visited one; those that it adds aren't visited. */
  forEach(visit: (c: AcceptedConnection) => void): void {
    const all: AcceptedConnection[] = [];
    for (let c = this.first; c !== null; c = c.next) all.push(c);
    for (const c of all) if (c.stage !== "closed") visit(c);
  }
}
