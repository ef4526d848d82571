/// <reference path="./forge-asn1.d.ts" />
import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { IdentityError } from "./identity-error.js";

/**
 * DER as a tree, read and written by node-forge's `lib/asn1` (and nothing else of it), with the checks that it lacks. The tree is
 * untyped: never look at a node's value but through the readers below, each of which checks the tag.
 */
export type Der = Asn1;

const universal = 0x00;
const contextSpecific = 0x80;

const tag = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

// Every primitive universal type that appears in certificates; the string types are opaque to us.
const primitiveTags = new Set<number>([1, 2, 3, 4, 5, 6, 10, 12, 18, 19, 20, 22, 23, 24, 26, 27, 28, 30]);
const maxDepth = 16;

/**
 * Reads one DER value that fills `bytes`. Throws `der-too-long`, `der-malformed` or `der-not-canonical` (X.690 section 10 and 11).
 *
 * Forge reads BER even in strict mode, so what it read must encode to the same bytes again, and the primitive types are checked.
 */
export function parseDer(bytes: Uint8Array, maxBytes: number): Der {
  if (bytes.length > maxBytes)
    throw new IdentityError("der-too-long", `${bytes.length} bytes of DER, at most ${maxBytes} are read`);
  const binary = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  let node: Der;
  let again: string;
  try {
    node = asn1.fromDer(binary, { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth });
    again = asn1.toDer(node).getBytes();
  } catch (cause) {
    throw new IdentityError("der-malformed", "not one DER value", { cause });
  }
  if (again !== binary) throw new IdentityError("der-not-canonical", "BER, but not in its one DER encoding");
  requireCanonical(node);
  return node;
}

/** The bytes of a tree. */
export function encodeDer(node: Der): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "latin1");
}

function requireCanonical(node: Der): void {
  // Type 31 announces a tag of several bytes, which forge takes for the length: it would read another tree than OpenSSL.
  if (node.type === 31) throw malformed("a tag number above 30");
  if (node.tagClass === universal) {
    if (node.constructed) {
      if (node.type !== tag.sequence && node.type !== tag.set) throw malformed(`a constructed type ${node.type}`);
    } else {
      requireCanonicalPrimitive(node.type, node.value as string);
    }
  } else if (node.tagClass !== contextSpecific) {
    throw malformed("an application or private tag");
  }
  if (node.constructed) for (const child of node.value as Der[]) requireCanonical(child);
}

function requireCanonicalPrimitive(type: number, value: string): void {
  if (!primitiveTags.has(type)) throw malformed(`a primitive type ${type}`);
  switch (type) {
    case tag.boolean:
      if (value !== "\x00" && value !== "\xff")
        throw new IdentityError("der-not-canonical", "a BOOLEAN that is neither 00 nor ff");
      break;
    case tag.null:
      if (value !== "") throw malformed("a NULL with content");
      break;
    case tag.integer:
    case 10:
      if (value === "") throw malformed("an empty INTEGER");
      break;
    case tag.oid:
      requireCanonicalOid(value);
      break;
    case tag.bitString: {
      const unused = value === "" ? 8 : value.charCodeAt(0);
      const last = value.charCodeAt(value.length - 1);
      if (
        unused > 7 ||
        (value.length === 1 && unused !== 0) ||
        (value.length > 1 && (last & ((1 << unused) - 1)) !== 0)
      ) {
        throw new IdentityError("der-not-canonical", "a BIT STRING with wrong padding");
      }
    }
  }
}

function requireCanonicalOid(value: string): void {
  let start = true;
  for (let i = 0; i < value.length; i++) {
    const byte = value.charCodeAt(i);
    if (start && byte === 0x80) throw new IdentityError("der-not-canonical", "an OID with a padded arc");
    start = (byte & 0x80) === 0;
  }
  if (value === "" || !start) throw malformed("an unfinished OID");
}

function malformed(what: string): IdentityError {
  return new IdentityError("der-malformed", what);
}

// Readers. `what` names the field in the error.

function requireTag(node: Der | undefined, type: number, constructed: boolean, what: string): Der {
  if (node === undefined || node.tagClass !== universal || node.type !== type || node.constructed !== constructed) {
    throw malformed(`${what} is missing or of another type`);
  }
  return node;
}

/** The elements of a SEQUENCE of `min` to `max` elements. */
export function readSequence(node: Der | undefined, what: string, min = 0, max = 1000): Der[] {
  const children = requireTag(node, tag.sequence, true, what).value as Der[];
  if (children.length < min || children.length > max) throw malformed(`${what} has ${children.length} elements`);
  return children;
}

/** The elements of a SET. */
export function readSet(node: Der | undefined, what: string): Der[] {
  return requireTag(node, tag.set, true, what).value as Der[];
}

/** The content bytes of an INTEGER. */
export function readInteger(node: Der | undefined, what: string): Buffer {
  return Buffer.from(requireTag(node, tag.integer, false, what).value as string, "latin1");
}

/** An INTEGER from 0 to 127. */
export function readSmallInteger(node: Der | undefined, what: string): number {
  const bytes = readInteger(node, what);
  if (bytes.length !== 1 || bytes[0]! > 127) throw malformed(`${what} is not between 0 and 127`);
  return bytes[0]!;
}

/** An OBJECT IDENTIFIER as its content bytes, to be compared with {@link oidBytes}. */
export function readOid(node: Der | undefined, what: string): string {
  return requireTag(node, tag.oid, false, what).value as string;
}

/** A BOOLEAN. */
export function readBoolean(node: Der | undefined, what: string): boolean {
  return requireTag(node, tag.boolean, false, what).value === "\xff";
}

/** The content bytes of an OCTET STRING. */
export function readOctets(node: Der | undefined, what: string): Buffer {
  return Buffer.from(requireTag(node, tag.octetString, false, what).value as string, "latin1");
}

/** A BIT STRING as its bytes; the first is the number of unused bits. */
export function readBits(node: Der | undefined, what: string): Buffer {
  return Buffer.from(requireTag(node, tag.bitString, false, what).value as string, "latin1");
}

/** A BIT STRING of whole bytes. */
export function readBitBytes(node: Der | undefined, what: string): Buffer {
  const bits = readBits(node, what);
  if (bits[0] !== 0) throw malformed(`${what} is not of whole bytes`);
  return bits.subarray(1);
}

/** Whether `node` has the context-specific tag `[n]`. */
export function isContext(node: Der | undefined, n: number, constructed: boolean): node is Der {
  return node !== undefined && node.tagClass === contextSpecific && node.type === n && node.constructed === constructed;
}

/** The content of a primitive context-specific value, as binary string. */
export function contextBytes(node: Der): string {
  if (node.constructed) throw malformed("a constructed value");
  return node.value as string;
}

/** The elements of a constructed context-specific value. */
export function contextChildren(node: Der): Der[] {
  if (!node.constructed) throw malformed("a primitive value");
  return node.value as Der[];
}

/** UTCTime or GeneralizedTime in the one form that RFC 5280 section 4.1.2.5 allows, in milliseconds since 1970. */
export function readTime(node: Der | undefined, what: string): number {
  if (node?.tagClass !== universal || node.constructed) throw malformed(`${what} is not a time`);
  const text = node.value as string;
  let digits: string;
  if (node.type === tag.utcTime && /^\d{12}Z$/.test(text)) {
    digits = `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`;
  } else if (node.type === tag.generalizedTime && /^\d{14}Z$/.test(text)) {
    digits = text;
  } else {
    throw malformed(`${what} is not a time`);
  }
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const ms = Date.parse(iso);
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) throw malformed(`${what} is no real time`);
  return ms;
}

// Writers.

export function derSequence(...children: Der[]): Der {
  return asn1.create(universal, tag.sequence, true, children);
}

export function derSet(...children: Der[]): Der {
  return asn1.create(universal, tag.set, true, children);
}

/** `[n]` around children, or IMPLICIT over a SEQUENCE's elements. */
export function derContext(n: number, ...children: Der[]): Der {
  return asn1.create(contextSpecific, n, true, children);
}

/** `[n]` IMPLICIT over a primitive value. Takes bytes, since forge would cut characters to 8 bits in silence. */
export function derContextBytes(n: number, bytes: Uint8Array): Der {
  return asn1.create(contextSpecific, n, false, Buffer.from(bytes).toString("latin1"));
}

/** A non-negative INTEGER from big-endian bytes. */
export function derInteger(bytes: Uint8Array): Der {
  const start = bytes.findIndex((byte) => byte !== 0);
  const minimal = start < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(start));
  return asn1.create(universal, tag.integer, false, `${minimal[0]! > 127 ? "\0" : ""}${minimal.toString("latin1")}`);
}

export function derOid(oid: string): Der {
  return asn1.create(universal, tag.oid, false, oidBytes(oid));
}

export function derBoolean(value: boolean): Der {
  return asn1.create(universal, tag.boolean, false, value ? "\xff" : "\0");
}

export function derNull(): Der {
  return asn1.create(universal, tag.null, false, "");
}

export function derOctets(bytes: Uint8Array): Der {
  return asn1.create(universal, tag.octetString, false, Buffer.from(bytes).toString("latin1"));
}

export function derBits(bytes: Uint8Array, unusedBits = 0): Der {
  return asn1.create(
    universal,
    tag.bitString,
    false,
    String.fromCharCode(unusedBits) + Buffer.from(bytes).toString("latin1"),
  );
}

export function derUtf8(text: string): Der {
  return asn1.create(universal, tag.utf8, false, Buffer.from(text, "utf8").toString("latin1"));
}

/** UTCTime before 2050, GeneralizedTime from then on (RFC 5280 section 4.1.2.5); whole seconds, rounded down. */
export function derTime(ms: number): Der {
  const iso = new Date(ms).toISOString();
  const digits = iso.replace(/\.\d+Z$/, "").replace(/[-:T]/g, "");
  const year = Number(iso.slice(0, 4));
  return year >= 1950 && year < 2050
    ? asn1.create(universal, tag.utcTime, false, `${digits.slice(2)}Z`)
    : asn1.create(universal, tag.generalizedTime, false, `${digits}Z`);
}

const oidCache = new Map<string, string>();

/** Content bytes of a dotted OID written in this package's sources (the cache is as long as that list). */
export function oidBytes(oid: string): string {
  let bytes = oidCache.get(oid);
  if (bytes === undefined) {
    bytes = asn1.oidToDer(oid).getBytes();
    oidCache.set(oid, bytes);
  }
  return bytes;
}
