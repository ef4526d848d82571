import { judgeValue } from "./field-value.js";
import { type HeaderName, headerName } from "./header-name.js";
import { huffmanDecode, huffmanOutput } from "./huffman.js";

// Making a string out of bytes costs more than looking it up, and most literals of a connection repeat: paths, lengths,
// names of headers. Direct-mapped, so it is bounded, and a peer that sends nothing twice only makes it useless.
const slots = 1024;
/** Longer ones are ids more often than not. */
const longest = 32;

class CachedName {
  readonly raw: string;
  readonly name: HeaderName;
  constructor(raw: string, name: HeaderName) {
    this.raw = raw;
    this.name = name;
  }
}

/** A literal value, decoded and judged. */
export class Literal {
  readonly raw: string;
  readonly text: string;
  /** Why it makes a message malformed, or `null`. */
  readonly fault: string | null;
  constructor(raw: string, text: string, fault: string | null) {
    this.raw = raw;
    this.text = text;
    this.fault = fault;
  }
}

const plainNames: (CachedName | undefined)[] = new Array(slots).fill(undefined);
const codedNames: (CachedName | undefined)[] = new Array(slots).fill(undefined);
const plainValues: (Literal | undefined)[] = new Array(slots).fill(undefined);
const codedValues: (Literal | undefined)[] = new Array(slots).fill(undefined);

function slotOf(buffer: Buffer, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at += 1) hash = (Math.imul(hash, 31) + buffer[at]!) | 0;
  return (hash ^ (hash >>> 15)) & (slots - 1);
}

function same(raw: string, buffer: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (raw.length !== length) return false;
  for (let at = 0; at < length; at += 1) if (raw.charCodeAt(at) !== buffer[start + at]) return false;
  return true;
}

function readText(buffer: Buffer, start: number, end: number, coded: boolean): string | null {
  if (!coded) return buffer.toString("latin1", start, end);
  const length = huffmanDecode(buffer, start, end);
  return length < 0 ? null : huffmanOutput().toString("latin1", 0, length);
}

/** The name in a range of bytes, Huffman-coded or not; `null` if the code is broken. */
export function literalName(buffer: Buffer, start: number, end: number, coded: boolean): HeaderName | null {
  if (end - start > longest) {
    const text = readText(buffer, start, end, coded);
    return text === null ? null : headerName(text);
  }
  const cache = coded ? codedNames : plainNames;
  const slot = slotOf(buffer, start, end);
  const found = cache[slot];
  if (found !== undefined && same(found.raw, buffer, start, end)) return found.name;
  const text = readText(buffer, start, end, coded);
  if (text === null) return null;
  const name = headerName(text);
  cache[slot] = new CachedName(coded ? buffer.toString("latin1", start, end) : text, name);
  return name;
}

/** The value in a range of bytes, Huffman-coded or not; `null` if the code is broken. Secrets are not kept. */
export function literalValue(
  buffer: Buffer,
  start: number,
  end: number,
  coded: boolean,
  secret: boolean,
): Literal | null {
  if (secret || end - start > longest) {
    const text = readText(buffer, start, end, coded);
    return text === null ? null : new Literal("", text, judgeValue(text));
  }
  const cache = coded ? codedValues : plainValues;
  const slot = slotOf(buffer, start, end);
  const found = cache[slot];
  if (found !== undefined && same(found.raw, buffer, start, end)) return found;
  const text = readText(buffer, start, end, coded);
  if (text === null) return null;
  const literal = new Literal(coded ? buffer.toString("latin1", start, end) : text, text, judgeValue(text));
  cache[slot] = literal;
  return literal;
}
