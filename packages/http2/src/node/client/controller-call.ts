import type { Exchange, HeaderList } from "../../exchange.js";
import { DispatchCall, type DispatchSettings } from "./dispatch-call.js";
import type { ControllerHandler, DispatchController } from "./dispatch-handler.js";
import { headersObject, rawPairs } from "./response-headers.js";
import type { TunnelSocket } from "./tunnel.js";

/** A request whose handler speaks the dialect of undici 7 and 8: `onRequestStart` and `onResponse…` with a controller. */
export class ControllerCall extends DispatchCall implements DispatchController {
  readonly #handler: ControllerHandler;
  #headers: HeaderList | null = null;
  #rawHeaders: Buffer[] | null = null;
  #trailers: HeaderList | null = null;

  constructor(x: Exchange, settings: DispatchSettings, handler: ControllerHandler) {
    super(x, settings);
    this.#handler = handler;
  }

  get rawHeaders(): Buffer[] | null {
    if (this.#headers === null) return null;
    this.#rawHeaders ??= rawPairs(this.#headers, this.x.responseHeaderCase);
    return this.#rawHeaders;
  }

  get rawTrailers(): Buffer[] | null {
    return this.#trailers === null ? null : rawPairs(this.#trailers, null);
  }

  protected override tellStart(): void {
    this.#handler.onRequestStart(this, {});
  }

  protected override tellHead(status: number, headers: HeaderList, statusText: string): void {
    this.#takeHeaders(headers);
    this.#handler.onResponseStarted?.();
    this.#handler.onResponseStart?.(this, status, headersObject(headers), statusText);
  }

  protected override tellData(chunk: Buffer): void {
    this.#handler.onResponseData?.(this, chunk);
  }

  protected override tellEnd(trailers: HeaderList): void {
    this.#trailers = trailers;
    this.#handler.onResponseEnd?.(this, headersObject(trailers));
  }

  protected override tellUpgrade(status: number, headers: HeaderList, socket: TunnelSocket): void {
    this.#takeHeaders(headers);
    this.#handler.onRequestUpgrade?.(this, status, headersObject(headers), socket);
  }

  protected override tellError(error: Error): void {
    this.#handler.onResponseError?.(this, error);
  }

  protected override tellChunkSent(chunk: Uint8Array): void {
    this.#handler.onBodySent?.(chunk);
  }

  protected override tellSent(): void {
    this.#handler.onRequestSent?.();
  }

  #takeHeaders(headers: HeaderList): void {
    this.#headers = headers;
    this.#rawHeaders = null;
  }
}
