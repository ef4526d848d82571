// An open loop: requests or mere triggers at random moments, whether or not earlier ones were answered.
import { connect } from "node:net";
import { arrivals } from "./arrivals.mjs";
import { ready } from "./program.mjs";
import { monotonicMs, Samples } from "./samples.mjs";

/** Requests that wait for a connection: with more, it is no longer a rate but an overload. */
const maxDue = 2_000;

class Client {
  constructor(load) {
    this.load = load;
    this.left = 0;
    this.startedAt = 0;
    this.socket = connect({ port: load.port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", (chunk) => this.read(chunk));
    this.socket.on("close", () => load.fail("a connection was closed"));
    this.socket.on("error", (error) => load.fail(error.message));
  }

  send(at) {
    this.startedAt = at;
    this.left = -1;
    this.socket.write(this.load.request, "latin1");
  }

  read(chunk) {
    let body = chunk.length;
    if (this.left < 0) {
      const head = chunk.latin1Slice(0, Math.min(chunk.length, 1_024));
      const end = head.indexOf("\r\n\r\n");
      if (!head.startsWith("HTTP/1.1 200") || end < 0) return this.load.fail(`answered ${head.slice(0, 60)}`);
      const length = /\r\ncontent-length: *(\d+)/i.exec(head);
      if (length === null) return this.load.fail("an answer has no content-length");
      this.left = Number(length[1]);
      body -= end + 4;
    }
    this.left -= body;
    if (this.left === 0) this.load.answered(this);
  }
}

class Load {
  samples = new Samples();
  idle = [];
  due = [];
  sent = 0;
  most = 0;
  error = null;

  constructor({ port, host, path, connections }) {
    this.port = port;
    this.request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n`;
    this.clients = Array.from({ length: connections }, () => new Client(this));
    this.idle.push(...this.clients);
  }

  arrive(at) {
    if (this.due.length > maxDue) this.fail("the rate is more than it can take here");
    if (this.error !== null) return;
    this.sent += 1;
    const client = this.idle.pop();
    if (client === undefined) this.due.push(at);
    else client.send(at);
  }

  answered(client) {
    this.samples.add(monotonicMs() - client.startedAt);
    const at = this.due.shift();
    if (at === undefined) this.idle.push(client);
    else client.send(at);
    if (this.samples.count === this.sent) this.onIdle?.();
  }

  fail(reason) {
    this.error ??= reason;
    this.onIdle?.();
  }

  async finish() {
    if (this.samples.count < this.sent && this.error === null) await new Promise((resolve) => (this.onIdle = resolve));
    for (const { socket } of this.clients) socket.removeAllListeners("close").destroy();
    if (this.error !== null) throw new Error(this.error);
    return this.samples.summary();
  }
}

ready(
  {},
  {
    async requests({ rate, ms, connections = 50, ...target }) {
      const load = new Load({ connections, ...target });
      await Promise.all(load.clients.map(({ socket }) => new Promise((resolve) => socket.once("connect", resolve))));
      await arrivals({ rate, ms }, (at) => load.arrive(at));
      return load.finish();
    },

    /** To a caller, which makes the requests by itself: the moment of each as eight bytes. */
    async triggers({ rate, ms, socket }) {
      const trigger = connect(socket);
      await new Promise((resolve, reject) => trigger.once("connect", resolve).once("error", reject));
      const bytes = new Float64Array(1);
      await arrivals({ rate, ms }, (at) => {
        bytes[0] = at;
        trigger.write(Buffer.from(bytes.buffer.slice(0)));
      });
      await new Promise((resolve) => trigger.end(resolve));
      return {};
    },
  },
);
