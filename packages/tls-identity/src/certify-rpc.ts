import { bytesField, readMessage, repeatedField, textField, varintField, writeBytes, writeVarint } from "./protobuf.js";

/** Path of Linkerd's call that turns a token and a CSR into a certificate. */
export const certifyPath = "/io.linkerd.proxy.identity.Identity/Certify";

/** `io.linkerd.proxy.identity.CertifyRequest`. */
export interface CertifyRequest {
  readonly identity: string;
  readonly token: Buffer;
  /** DER. */
  readonly csr: Buffer;
}

/** `io.linkerd.proxy.identity.CertifyResponse`. */
export interface CertifyResponse {
  readonly leaf: Uint8Array;
  /** The leaf's issuer first, without the root. */
  readonly intermediates: readonly Uint8Array[];
  /** Milliseconds since 1970; null if absent. */
  readonly validUntil: number | null;
}

export function writeCertifyRequest(request: CertifyRequest): Buffer {
  return Buffer.concat([writeBytes(1, request.identity), writeBytes(2, request.token), writeBytes(3, request.csr)]);
}

export function readCertifyRequest(message: Uint8Array): CertifyRequest {
  const fields = readMessage(message);
  return { identity: textField(fields, 1), token: bytesField(fields, 2), csr: bytesField(fields, 3) };
}

export function writeCertifyResponse(response: CertifyResponse): Buffer {
  const parts = [writeBytes(1, response.leaf), ...response.intermediates.map((der) => writeBytes(2, der))];
  if (response.validUntil !== null) {
    const seconds = Math.floor(response.validUntil / 1000);
    parts.push(
      writeBytes(3, Buffer.concat([writeVarint(1, seconds), writeVarint(2, (response.validUntil % 1000) * 1_000_000)])),
    );
  }
  return Buffer.concat(parts);
}

export function readCertifyResponse(message: Uint8Array): CertifyResponse {
  const fields = readMessage(message);
  const until = fields.findLast((field) => field.number === 3);
  const timestamp = until === undefined ? null : readMessage(until.bytes);
  return {
    leaf: bytesField(fields, 1),
    intermediates: repeatedField(fields, 2),
    validUntil: timestamp && varintField(timestamp, 1) * 1000 + Math.floor(varintField(timestamp, 2) / 1_000_000),
  };
}
