/** Of a TLS record (RFC 8446, section 5.1). Before there are so many bytes, OpenSSL decides nothing. */
const recordHeaderBytes = 5;

/** What OpenSSL says of a first record that is none; of a later one it says the last of these too, but with an alert to the peer. */
const noTls = ["ERR_SSL_HTTP_REQUEST", "ERR_SSL_HTTPS_PROXY_REQUEST", "ERR_SSL_WRONG_VERSION_NUMBER"];

/** The socket below a TLS server: how much went over it. */
export interface CountedSocket {
  readonly bytesRead?: number;
  readonly bytesWritten?: number;
}

/** Whether a peer has said so little that nobody can know what it speaks. */
export function saysNothing(raw: CountedSocket): boolean {
  return raw.bytesRead !== undefined && raw.bytesRead < recordHeaderBytes;
}

/** Whether a handshake failed because the peer doesn't speak TLS, for one that TLS has read from its first byte on. */
export function speaksPlaintext(raw: CountedSocket, error: Error): boolean {
  return raw.bytesWritten === 0 && noTls.includes((error as NodeJS.ErrnoException).code ?? "");
}
