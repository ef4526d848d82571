/** The codes of undici's errors that this package reports itself. Callers of undici and fetch know them. */
export type DispatchErrorCode = keyof typeof names;

const names = {
  UND_ERR_INVALID_ARG: "InvalidArgumentError",
  UND_ERR_NOT_SUPPORTED: "NotSupportedError",
  UND_ERR_HEADERS_TIMEOUT: "HeadersTimeoutError",
  UND_ERR_BODY_TIMEOUT: "BodyTimeoutError",
  UND_ERR_ABORTED: "AbortError",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "RequestContentLengthMismatchError",
  UND_ERR_SOCKET: "SocketError",
  UND_ERR_CLOSED: "ClientClosedError",
  UND_ERR_DESTROYED: "ClientDestroyedError",
} as const;

/**
 * A failure that undici's callers expect by code, made without loading undici. `instanceof` of undici's own error
 * classes holds, whichever copy of undici asks, since those test for a registered symbol.
 */
export class DispatchError extends Error {
  readonly code: DispatchErrorCode;

  constructor(code: DispatchErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    for (const brand of ["UND_ERR", code, ...(code === "UND_ERR_ABORTED" ? ["UND_ERR_ABORT"] : [])]) {
      Object.defineProperty(this, Symbol.for(`undici.error.${brand}`), { value: true });
    }
  }

  override get name(): string {
    return names[this.code];
  }
}

export function invalidArgument(message: string): DispatchError {
  return new DispatchError("UND_ERR_INVALID_ARG", message);
}
