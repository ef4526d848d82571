import { type ExchangeError, type TransportErrorCode, transportError } from "../exchange-error.js";

/** What a peer's TLS alert, or our own check of its certificate, comes down to for whoever reads the log. */
const tlsReasons: Readonly<Record<string, string>> = Object.freeze({
  CERT_HAS_EXPIRED: "the peer's certificate has expired",
  CERT_NOT_YET_VALID: "the peer's certificate is not valid yet: check the clocks",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the peer's certificate is self-signed and not in our trust bundle",
  SELF_SIGNED_CERT_IN_CHAIN: "the peer's root is not in our trust bundle",
  UNABLE_TO_GET_ISSUER_CERT: "the peer's issuer is not in our trust bundle",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the peer's issuer is not in our trust bundle",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the peer sent no certificate that leads to our trust bundle",
  CERT_SIGNATURE_FAILURE:
    "a signature in the peer's chain is wrong: a root or issuer of the same name with another key",
  INVALID_PURPOSE: "the peer's certificate is not for servers",
  ERR_TLS_CERT_ALTNAME_INVALID: "the peer's certificate has another name",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "the peer does not trust our issuer",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "the peer wants a certificate and we have none",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "the peer says that our certificate has expired",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: "the peer refused our certificate",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "the peer refused our certificate",
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: "the peer refused our kind of certificate",
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: "the peer denied us access",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "the peer speaks no TLS version that we allow",
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "the peer speaks none of the protocols offered by ALPN",
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: "the peer does not know the server name",
  ERR_SSL_WRONG_VERSION_NUMBER: "the peer does not speak TLS",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "the peer does not speak TLS",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "the peer speaks no TLS version that we allow",
});

const connectReasons: Readonly<Record<string, string>> = Object.freeze({
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was closed",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  EHOSTDOWN: "the host is down",
  ENOTFOUND: "the name does not exist",
  EAI_AGAIN: "the name could not be resolved",
  EADDRNOTAVAIL: "no local port or address is free",
  EMFILE: "no file descriptor is free",
  ENFILE: "no file descriptor is free",
});

// OpenSSL's verification results and Node's two kinds of TLS error.
const tlsCode =
  /^(?:ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERROR_IN_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH_|HOSTNAME_MISMATCH|UNSPECIFIED|OUT_OF_MEM$)/;

/** A Node error's `code`, also that of the first error of several (one for each address that was tried). */
export function nodeErrorCode(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { code, errors } = error as { code?: unknown; errors?: unknown };
  if (typeof code === "string" && code !== "") return code;
  return Array.isArray(errors) && errors.length > 0 ? nodeErrorCode(errors[0]) : "";
}

/**
 * Translates why no connection to `target` came about. Always `unsent`; `local` when the cause is in this process.
 * The Node error is kept as the cause.
 */
export function connectError(error: unknown, target: string): ExchangeError {
  const nodeCode = nodeErrorCode(error);
  const reason = tlsReasons[nodeCode] ?? connectReasons[nodeCode] ?? messageOf(error);
  const local = nodeCode === "EMFILE" || nodeCode === "ENFILE" || nodeCode === "EADDRNOTAVAIL";
  let code: TransportErrorCode = "SELVAGE_ERR_CONNECT";
  if (nodeCode === "ETIMEDOUT") code = "SELVAGE_ERR_CONNECT_TIMEOUT";
  else if (tlsCode.test(nodeCode)) code = "SELVAGE_ERR_TLS";
  const suffix = nodeCode === "" ? "" : ` (${nodeCode})`;
  return transportError(code, `connect to ${target}: ${reason}${suffix}`, local ? "local" : "peer", "unsent", error);
}

/** The TLS options of a connection could not be made: no identity yet, or one that can't be used. */
export function tlsOptionsError(error: unknown, target: string): ExchangeError {
  const message = `connect to ${target}: no usable TLS options: ${messageOf(error)}`;
  return transportError("SELVAGE_ERR_TLS", message, "local", "unsent", error);
}

export function connectTimeoutError(target: string, timeoutMs: number): ExchangeError {
  const message = `connect to ${target}: not ready within ${timeoutMs} ms`;
  return transportError("SELVAGE_ERR_CONNECT_TIMEOUT", message, "peer", "unsent");
}

/**
 * The peer closed a connection before it sent a byte. In TLS 1.3 the client's handshake is over before the server has looked
 * at the client's certificate, and Node's servers refuse one by closing, without an alert.
 */
export function closedEarlyError(encrypted: boolean, cause: unknown): ExchangeError {
  const reason = tlsReasons[nodeErrorCode(cause)];
  if (encrypted) {
    const hint = reason ?? "the peer may have refused our certificate";
    const message = `the peer closed a new TLS connection before its first byte: ${hint}`;
    return transportError("SELVAGE_ERR_TLS", message, "peer", "unsent", cause ?? undefined);
  }
  const message = "the peer closed a new connection before its first byte";
  return transportError("SELVAGE_ERR_CONNECT", message, "peer", "unsent", cause ?? undefined);
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : String(error);
}
