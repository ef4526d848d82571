import { IdentityError } from "./identity-error.js";

const maxPemChars = 1 << 20;
const blockPattern = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]+?)-----END ([A-Z0-9 ]{1,40})-----/g;

/** One block of a PEM text. */
export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`, … */
  readonly label: string;
  readonly der: Buffer;
}

/**
 * The blocks of a PEM text (RFC 7468, lax about text between blocks, strict inside them). Throws `pem-malformed` if a block is
 * broken, so that a cut file is not taken for a shorter one.
 */
export function readPem(text: string): PemBlock[] {
  if (text.length > maxPemChars)
    throw new IdentityError("pem-malformed", `a PEM text of ${text.length} characters is too long`);
  const blocks: PemBlock[] = [];
  for (const [, begin, body, end] of text.matchAll(blockPattern)) {
    const base64 = body!.replace(/[\r\n]/g, "");
    const der = Buffer.from(base64, "base64");
    if (begin !== end || der.toString("base64") !== base64)
      throw new IdentityError("pem-malformed", `the ${begin} block is broken`);
    blocks.push({ label: begin!, der });
  }
  const begun = text.split("-----BEGIN ").length - 1;
  if (begun !== blocks.length)
    throw new IdentityError("pem-malformed", `${begun} PEM blocks begin, ${blocks.length} are whole`);
  return blocks;
}

/** The certificates of a PEM text, in order. Blocks of other kinds are refused. */
export function readCertificatesPem(text: string): Buffer[] {
  return readPem(text).map((block) => {
    if (block.label !== "CERTIFICATE")
      throw new IdentityError("pem-malformed", `a ${block.label} block where certificates belong`);
    return block.der;
  });
}

/** One PEM block. */
export function writePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  return `-----BEGIN ${label}-----\n${base64.replace(/(.{64})(?=.)/g, "$1\n")}\n-----END ${label}-----\n`;
}

/** Certificates as PEM, joined. */
export function writeCertificatesPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => writePem("CERTIFICATE", der)).join("");
}

/** Splits DER values that stand one behind another, as the Workload API sends chains. */
export function splitDer(bytes: Uint8Array): Buffer[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Buffer[] = [];
  for (let at = 0; at < all.length; ) {
    const end = at + outerLength(all, at);
    if (end > all.length || parts.length >= 64)
      throw new IdentityError("der-malformed", "joined certificates that do not fit");
    parts.push(all.subarray(at, end));
    at = end;
  }
  return parts;
}

function outerLength(bytes: Buffer, at: number): number {
  const first = bytes[at + 1] ?? 0x80;
  const lengthBytes = first & 0x7f;
  if (bytes[at] !== 0x30) throw new IdentityError("der-malformed", "joined certificates: not a SEQUENCE");
  if (first < 0x80) return 2 + first;
  if (lengthBytes < 1 || lengthBytes > 3 || at + 2 + lengthBytes > bytes.length) {
    throw new IdentityError("der-malformed", "joined certificates: a length that is cut or too big");
  }
  return 2 + lengthBytes + bytes.readUIntBE(at + 2, lengthBytes);
}
