import type { HeaderList, Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";

/**
 * Keeps what it gets. `done` resolves with the first terminal call, be it `onEnd` or `onError`. Calls that break the contract
 * of `Sink` (data before the head, anything after the end) land in `violations`, which a test should find empty.
 */
export class RecordingSink implements Sink {
  readonly informational: { status: number; headers: HeaderList }[] = [];
  status = 0;
  headers: HeaderList = [];
  readonly chunks: Uint8Array[] = [];
  trailers: HeaderList | null = null;
  ended = false;
  error: ExchangeError | null = null;
  readonly violations: string[] = [];
  /** Resolves with this sink at its terminal call. */
  readonly done: Promise<this>;
  /** Resolves with this sink at the head, or at the terminal call if there is none. */
  readonly head: Promise<this>;
  #isDone: (sink: this) => void = () => {};
  #hasHead: (sink: this) => void = () => {};
  readonly #watchers: { readonly isReached: () => boolean; readonly reached: () => void }[] = [];

  constructor() {
    this.done = new Promise((resolve) => {
      this.#isDone = resolve;
    });
    this.head = new Promise((resolve) => {
      this.#hasHead = resolve;
    });
  }

  /** All data so far. */
  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** `body` as UTF-8. */
  get text(): string {
    return this.body.toString();
  }

  /** The value of a response header; several are joined by ", ". */
  header(name: string): string | undefined {
    const values: string[] = [];
    for (let i = 0; i < this.headers.length; i += 2)
      if (this.headers[i] === name) values.push(this.headers[i + 1] ?? "");
    return values.length === 0 ? undefined : values.join(", ");
  }

  /** Resolves once at least so many bytes came, or at the terminal call. */
  async received(bytes: number): Promise<this> {
    const isReached = () => this.#terminated || this.body.length >= bytes;
    if (!isReached()) await new Promise<void>((reached) => this.#watchers.push({ isReached, reached }));
    return this;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#check("onInformational", this.status === 0);
    this.informational.push({ status, headers });
  }

  onHead(status: number, headers: HeaderList): void {
    this.#check("onHead", this.status === 0);
    this.status = status;
    this.headers = headers;
    this.#hasHead(this);
  }

  onData(chunk: Uint8Array): void {
    this.#check("onData", this.status !== 0);
    this.chunks.push(chunk);
    this.#notify();
  }

  onEnd(trailers: HeaderList | null): void {
    this.#check("onEnd", this.status !== 0);
    this.ended = true;
    this.trailers = trailers;
    this.#finish();
  }

  onError(error: ExchangeError): void {
    this.#check("onError", true);
    this.error = error;
    this.#finish();
  }

  get #terminated(): boolean {
    return this.ended || this.error !== null;
  }

  #check(call: string, inOrder: boolean): void {
    if (this.#terminated) this.violations.push(`${call} after the terminal call`);
    else if (!inOrder) this.violations.push(`${call} out of order`);
  }

  #finish(): void {
    this.#isDone(this);
    this.#hasHead(this);
    this.#notify();
  }

  #notify(): void {
    for (const watcher of this.#watchers) if (watcher.isReached()) watcher.reached();
  }
}
