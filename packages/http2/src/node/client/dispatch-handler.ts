import type { Duplex } from "node:stream";

/** What a handler of the new dialect steers its request with. */
export interface DispatchController {
  readonly aborted: boolean;
  readonly paused: boolean;
  readonly reason: Error | null;
  /** `[name, value, …]` of the last head. */
  readonly rawHeaders: Buffer[] | null;
  /** `[name, value, …]`, once the response has ended. */
  readonly rawTrailers: Buffer[] | null;
  abort(reason?: Error): void;
  pause(): void;
  resume(): void;
}

type ResponseHeaders = Record<string, string | string[]>;

/** The handlers of undici 7 and 8, and of the fetch of Node 26. */
export interface ControllerHandler {
  onRequestStart(controller: DispatchController, context: object): void;
  onRequestUpgrade?(controller: DispatchController, status: number, headers: ResponseHeaders, socket: Duplex): void;
  onResponseStarted?(): void;
  onResponseStart?(controller: DispatchController, status: number, headers: ResponseHeaders, statusText: string): void;
  onResponseData?(controller: DispatchController, chunk: Buffer): void;
  onResponseEnd?(controller: DispatchController, trailers: ResponseHeaders): void;
  onResponseError?(controller: DispatchController, error: Error): void;
  onBodySent?(chunk: Uint8Array): void;
  onRequestSent?(): void;
}

/** The handlers of undici 6 and 7, and of the fetch of Node 20 to 24. */
export interface CallbackHandler {
  onConnect?(abort: (reason?: Error) => void, context: object): void;
  onUpgrade?(status: number, headers: Buffer[], socket: Duplex): void;
  onResponseStarted?(): void;
  onHeaders?(status: number, headers: Buffer[], resume: () => void, statusText: string): boolean | undefined;
  onData?(chunk: Buffer): boolean | undefined;
  onComplete?(trailers: Buffer[]): void;
  onError?(error: Error): void;
  onBodySent?(chunk: Uint8Array): void;
  onRequestSent?(): void;
}

/** A handler of either dialect. Which one it speaks is told by `onRequestStart`. */
export type DispatchHandler = ControllerHandler | CallbackHandler;

export function isControllerHandler(handler: DispatchHandler): handler is ControllerHandler {
  return typeof (handler as Partial<ControllerHandler>).onRequestStart === "function";
}
