import type { Exchange, HeaderList } from "../../exchange.js";
import { DispatchCall, type DispatchSettings } from "./dispatch-call.js";
import type { CallbackHandler } from "./dispatch-handler.js";
import { rawPairs } from "./response-headers.js";
import type { TunnelSocket } from "./tunnel.js";

/** A request whose handler speaks the dialect of undici 6: `onConnect`, `onHeaders`, `onData`, `onComplete`, `onError`. */
export class CallbackCall extends DispatchCall {
  readonly #handler: CallbackHandler;
  #resume: (() => void) | null = null;

  constructor(x: Exchange, settings: DispatchSettings, handler: CallbackHandler) {
    super(x, settings);
    this.#handler = handler;
  }

  protected override tellStart(): void {
    this.#handler.onConnect?.((reason) => this.abort(reason), {});
  }

  protected override tellHead(status: number, headers: HeaderList, statusText: string): void {
    const handler = this.#handler;
    handler.onResponseStarted?.();
    this.#resume ??= () => this.resume();
    const raw = rawPairs(headers, this.x.responseHeaderCase);
    if (handler.onHeaders?.(status, raw, this.#resume, statusText) === false) this.pause();
  }

  protected override tellData(chunk: Buffer): void {
    if (this.#handler.onData?.(chunk) === false) this.pause();
  }

  protected override tellEnd(trailers: HeaderList): void {
    this.#handler.onComplete?.(rawPairs(trailers, null));
  }

  protected override tellUpgrade(status: number, headers: HeaderList, socket: TunnelSocket): void {
    this.#handler.onUpgrade?.(status, rawPairs(headers, this.x.responseHeaderCase), socket);
  }

  protected override tellError(error: Error): void {
    this.#handler.onError?.(error);
  }

  protected override tellChunkSent(chunk: Uint8Array): void {
    this.#handler.onBodySent?.(chunk);
  }

  protected override tellSent(): void {
    this.#handler.onRequestSent?.();
  }
}
