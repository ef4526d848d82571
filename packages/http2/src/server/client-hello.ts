/** What a ClientHello offers in ALPN (RFC 7301): nothing, one of HTTP's names, or only names that aren't HTTP's. */
export type AlpnOffer = "more" | "none" | "http" | "other";

const handshakeRecord = 22;
const clientHello = 1;
const alpnExtension = 16;
// RFC 8446, section 5.1.
const maxRecordBytes = 16_384;

/**
 * Reads the ALPN offer of the first TLS record. What is malformed, or spread over records, counts as `none`: the TLS library
 * decides what becomes of it.
 *
 * It's needed because Node ends the handshake with a fatal alert when a server has ALPN names and none is the client's,
 * while linkerd2-proxy offers `transport.l5d.io/v1` alone to peers that may or may not know it.
 */
export function readAlpnOffer(bytes: Uint8Array): AlpnOffer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 5) return "more";
  const recordEnd = 5 + view.getUint16(3);
  if (bytes[0] !== handshakeRecord || recordEnd > 5 + maxRecordBytes) return "none";
  if (bytes.length < recordEnd) return "more";
  if (recordEnd < 9 || bytes[5] !== clientHello) return "none";
  const end = 9 + ((bytes[6]! << 16) | view.getUint16(7));
  if (end > recordEnd) return "none";
  let at = 9 + 2 + 32;
  if (at + 1 > end) return "none";
  at += 1 + bytes[at]!;
  if (at + 2 > end) return "none";
  at += 2 + view.getUint16(at);
  if (at + 1 > end) return "none";
  at += 1 + bytes[at]!;
  if (at + 2 > end) return "none";
  const extensionsEnd = at + 2 + view.getUint16(at);
  if (extensionsEnd > end) return "none";
  at += 2;
  while (at + 4 <= extensionsEnd) {
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    at += 4;
    if (at + length > extensionsEnd) return "none";
    if (type === alpnExtension) return readNames(bytes, at, at + length);
    at += length;
  }
  return "none";
}

function readNames(bytes: Uint8Array, start: number, end: number): AlpnOffer {
  let at = start + 2;
  if (at >= end) return "none";
  while (at < end) {
    const length = bytes[at]!;
    const name = Buffer.from(bytes.subarray(at + 1, Math.min(at + 1 + length, end))).toString("latin1");
    if (name === "h2" || name === "http/1.1") return "http";
    at += 1 + length;
  }
  return "other";
}
