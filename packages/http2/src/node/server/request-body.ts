import type { AsyncResource } from "node:async_hooks";
import type { Body, BodySink, Exchange, HeaderList } from "../../exchange.js";
import type { AppStreamHost } from "./app-stream-host.js";
import type { Timed } from "./deadline-list.js";
import type { FacadeSocket } from "./facade-socket.js";
import { rethrow } from "./message-close.js";
import type { NodeRequest } from "./node-internals.js";
import { trailerLines } from "./request-head.js";

/** The stream behind a request, as its body needs it. */
export interface BodyOwner extends AsyncResource {
  readonly x: Exchange;
  readonly req: NodeRequest;
  readonly socket: FacadeSocket;
  readonly host: AppStreamHost;
  onRequestTimeout(): void;
}

/** Brings an exchange's body into an `IncomingMessage`, no faster than the application reads. */
export class RequestBody implements BodySink, Timed {
  /** All of it came, or nobody wants the rest. */
  over = false;
  deadlineAt = 0;
  earlier: Timed | null = null;
  later: Timed | null = null;
  timed = false;
  private readonly owner: BodyOwner;
  private readonly body: Body;
  private started = false;
  private paused = false;

  constructor(owner: BodyOwner, body: Body) {
    this.owner = owner;
    this.body = body;
  }

  /** @param deadlineAt - by when the request must be complete, or 0 */
  start(deadlineAt: number): void {
    if (this.over) return;
    if (deadlineAt > 0) {
      this.deadlineAt = deadlineAt;
      this.owner.host.unfinishedRequests.add(this);
    }
    this.started = true;
    this.body.pipe(this);
  }

  onData(chunk: Uint8Array): void {
    if (this.over) return;
    this.owner.socket.touch();
    this.owner.runInAsyncScope(deliver, this, chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.over) return;
    this.over = true;
    this.owner.host.unfinishedRequests.remove(this);
    this.owner.runInAsyncScope(deliverEnd, this, trailers);
  }

  /** The application will read no more: the source need not send the rest. */
  drop(): void {
    if (this.over) return;
    this.over = true;
    this.owner.host.unfinishedRequests.remove(this);
    this.body.cancel();
  }

  pause(): void {
    if (this.over || this.paused || !this.started) return;
    this.paused = true;
    this.body.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.over) this.body.resume();
  }

  onDeadline(): void {
    this.owner.onRequestTimeout();
  }

  push(chunk: Uint8Array): void {
    const req = this.owner.req;
    if (!req._dumped && !req.push(chunk)) this.pause();
  }

  end(trailers: HeaderList | null): void {
    endRequest(this.owner.x, this.owner.req, trailers);
  }
}

/** Marks a request as complete. */
export function endRequest(x: Exchange, req: NodeRequest, trailers: HeaderList | null): void {
  req.complete = true;
  if (trailers !== null && trailers.length !== 0) {
    const lines = trailerLines(x, trailers);
    req._addHeaderLines(lines, lines.length);
  }
  req.push(null);
}

function deliver(this: RequestBody, chunk: Uint8Array): void {
  try {
    this.push(chunk);
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}

function deliverEnd(this: RequestBody, trailers: HeaderList | null): void {
  try {
    this.end(trailers);
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}
