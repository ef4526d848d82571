import { Field } from "./field.js";
import { type HeaderName, indexing } from "./header-name.js";
import { staticEntries, staticTable } from "./hpack-table.js";
import { literalName, literalValue } from "./literal-cache.js";

/** Where decoded fields go, in order. */
export interface FieldSink {
  /** `fault` says why the value makes the message malformed, if it does. */
  field(name: HeaderName, value: string, fault: string | null): void;
}

/** Slots of the table's ring when the first entry comes. */
const firstSlots = 8;
const none: Buffer = Buffer.alloc(0);
// Emptied, not empty: V8 then handles it as it does the full ones.
const noEntries = new Array<Field | null>(1).fill(null).slice(1);

/**
 * HPACK decoding (RFC 7541) for one direction of one connection. A block that is decoded must be decoded whole, whatever
 * becomes of its message: the table depends on it.
 */
export class HpackDecoder {
  /** Changes whenever the table does. */
  generation = 0;

  readonly #limitBytes: number;
  /** A ring. It grows with what is in it: most connections never fill their table. */
  #entries = noEntries;
  /** Where the next entry goes. */
  #head = 0;
  #count = 0;
  #bytes = 0;
  #capacityBytes: number;
  #buffer: Buffer = none;
  #at = 0;
  #end = 0;

  /** `tableBytes` is what our SETTINGS_HEADER_TABLE_SIZE says, at least 4,096. */
  constructor(tableBytes: number) {
    this.#limitBytes = tableBytes;
    this.#capacityBytes = tableBytes;
  }

  /** Entries in the dynamic table now. */
  get entries(): number {
    return this.#count;
  }

  /** Decodes one header block. `false`: it is broken, and with it the connection (COMPRESSION_ERROR). */
  decode(buffer: Buffer, start: number, end: number, into: FieldSink): boolean {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
    const done = this.#fields(into);
    this.#buffer = none;
    return done;
  }

  #fields(into: FieldSink): boolean {
    const buffer = this.#buffer;
    // Section 4.2: at the start of a block only, and two of them say all there is to say.
    let updatesLeft = 2;
    while (this.#at < this.#end) {
      const byte = buffer[this.#at]!;
      if (byte >= 0x80) {
        const entry = this.#entry(this.#integer(0x7f));
        if (entry === null) return false;
        into.field(entry.name, entry.value, entry.fault);
        updatesLeft = 0;
      } else if (byte >= 0x40) {
        if (!this.#literal(into, 0x3f, true, false)) return false;
        updatesLeft = 0;
      } else if (byte >= 0x20) {
        if (updatesLeft === 0) return false;
        updatesLeft -= 1;
        const capacity = this.#integer(0x1f);
        if (capacity < 0 || capacity > this.#limitBytes) return false;
        this.#capacityBytes = capacity;
        this.generation += 1;
        this.#evict(0);
      } else {
        if (!this.#literal(into, 0x0f, false, byte >= 0x10)) return false;
        updatesLeft = 0;
      }
    }
    return true;
  }

  #literal(into: FieldSink, mask: number, keep: boolean, secret: boolean): boolean {
    const index = this.#integer(mask);
    let name: HeaderName;
    if (index === 0) {
      const coded = this.#buffer[this.#at]! >= 0x80;
      const start = this.#string();
      if (start < 0) return false;
      const found = literalName(this.#buffer, start, this.#at, coded);
      if (found === null) return false;
      name = found;
    } else {
      const entry = this.#entry(index);
      if (entry === null) return false;
      name = entry.name;
    }
    const coded = this.#buffer[this.#at]! >= 0x80;
    const start = this.#string();
    if (start < 0) return false;
    const value = literalValue(this.#buffer, start, this.#at, coded, secret || name.indexing === indexing.secret);
    if (value === null) return false;
    if (keep) this.#insert(new Field(name, value.text, value.fault));
    into.field(name, value.text, value.fault);
    return true;
  }

  /** Steps over a string literal and returns where its bytes start, or -1. */
  #string(): number {
    if (this.#at >= this.#end) return -1;
    const length = this.#integer(0x7f);
    if (length < 0 || length > this.#end - this.#at) return -1;
    const start = this.#at;
    this.#at = start + length;
    return start;
  }

  /** Section 5.1. -1 when it is cut off or beyond anything that makes sense. */
  #integer(mask: number): number {
    const buffer = this.#buffer;
    let value = buffer[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const byte = buffer[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return -1;
  }

  #entry(index: number): Field | null {
    if (index <= 0) return null;
    if (index <= staticEntries) return staticTable[index]!;
    const back = index - staticEntries;
    return back > this.#count ? null : this.#entries[(this.#head - back) & (this.#entries.length - 1)]!;
  }

  #insert(entry: Field): void {
    this.generation += 1;
    this.#evict(entry.bytes);
    if (entry.bytes > this.#capacityBytes) return;
    if (this.#count === this.#entries.length) this.#grow();
    this.#entries[this.#head] = entry;
    this.#head = (this.#head + 1) & (this.#entries.length - 1);
    this.#count += 1;
    this.#bytes += entry.bytes;
  }

  #grow(): void {
    const old = this.#entries;
    const entries = new Array<Field | null>(Math.max(firstSlots, old.length * 2)).fill(null);
    // It is full, so that the oldest entry is where the next one would go.
    for (let at = 0; at < old.length; at += 1) entries[at] = old[(this.#head + at) & (old.length - 1)]!;
    this.#entries = entries;
    this.#head = old.length;
  }

  #evict(roomBytes: number): void {
    while (this.#count > 0 && this.#bytes + roomBytes > this.#capacityBytes) {
      const oldest = (this.#head - this.#count) & (this.#entries.length - 1);
      this.#bytes -= this.#entries[oldest]!.bytes;
      this.#entries[oldest] = null;
      this.#count -= 1;
    }
  }
}
