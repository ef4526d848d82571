import type { Server } from "node:http";
import type { Clock } from "../../clock.js";
import type { Exchange, HeaderList, Service, Sink } from "../../exchange.js";
import type { ExchangeError } from "../../exchange-error.js";
import { ClientConnection, type ClientConnectionListener } from "../../h1/client-connection.js";
import { type Http1Config, resolveHttp1 } from "../../h1/limits.js";
import { AppSocket, PairEnd } from "./app-socket.js";
import { DeadlineList } from "./deadline-list.js";
import { markExchange } from "./exchange-of.js";
import { handOver } from "./take-over.js";

const never = Number.POSITIVE_INFINITY;

/** The other side is this process's own application: it may take its time, and its heads are as large as it likes. */
const limits = Object.freeze({
  maxHeadBytes: 1 << 20,
  maxFields: 4096,
  maxTrailerBytes: 1 << 20,
  maxTrailerFields: 4096,
  maxInformational: 4096,
  headTimeoutMs: never,
  bodyTimeoutMs: never,
  idleTimeoutMs: never,
  stallTimeoutMs: never,
});
const inactivityGranularityMs = 10;

/**
 * Exchanges as HTTP/1.1 text through a pair of streams in memory, into the server's own parser: a pair for each exchange.
 * What needs a connection of its own (`Upgrade`, CONNECT) works as on one.
 */
export class PairExit implements Service, ClientConnectionListener {
  private readonly server: Server;
  private readonly clock: Clock;
  private readonly config: Http1Config;
  private readonly inactivity: DeadlineList;
  private running = 0;

  constructor(server: Server, clock: Clock) {
    this.server = server;
    this.clock = clock;
    this.config = resolveHttp1({ ...limits, now: () => clock.now() });
    this.inactivity = new DeadlineList(clock, inactivityGranularityMs);
  }

  /** Exchanges whose response hasn't ended. */
  get active(): number {
    return this.running;
  }

  call(x: Exchange, sink: Sink): void {
    const near = new PairEnd();
    const far = new AppSocket(x, this.clock, this.inactivity);
    markExchange(far, x);
    near.join(far);
    handOver(this.server, far);
    this.running++;
    new ClientConnection(near, this.config, this).call(x, new CountingSink(this, sink));
  }

  onOver(): void {
    this.running--;
  }

  onIdle(connection: ClientConnection): void {
    connection.drain();
  }

  onClosed(): void {}
}

class CountingSink implements Sink {
  private readonly exit: PairExit;
  private readonly sink: Sink;

  constructor(exit: PairExit, sink: Sink) {
    this.exit = exit;
    this.sink = sink;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.sink.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.sink.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.sink.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.exit.onOver();
    this.sink.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.exit.onOver();
    this.sink.onError(error);
  }
}
