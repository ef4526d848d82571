import { type HeaderList, noHeaders } from "../exchange.js";
import { EncoderName, maxCredit } from "./encoder-name.js";
import { badValueByte, hasBlankEdge, judgeValue, valueFault } from "./field-value.js";
import { headerName, indexing, nameKind } from "./header-name.js";
import { staticEntries } from "./hpack-table.js";
import { huffmanEncode, huffmanLength } from "./huffman.js";
import { origProtoHeader } from "./orig-proto.js";

const defaultTableBytes = 4096;
/** Names one encoder remembers; those beyond are sent as they are each time. */
const maxNames = 512;
/** Values of one name in the table at a time: looking one up is a walk. */
const maxValuesPerName = 8;
/** What an insertion costs a name of its credit, which being found earns back; below zero it may insert no more. */
const insertCost = 2;
/** Below this, writing characters one by one beats the call into native code. */
const shortText = 40;
/** Longest encoding of a repeated list that is kept. */
const repeatedBytes = 128;
/** Slots of the table's ring when the first entry comes. */
const firstSlots = 8;
// Emptied, not empty: V8 then handles it as it does the full ones.
const noEntries = new Array<EncoderEntry | null>(1).fill(null).slice(1);

class EncoderEntry {
  readonly owner: EncoderName;
  readonly bytes: number;
  constructor(owner: EncoderName, bytes: number) {
    this.owner = owner;
    this.bytes = bytes;
  }
}

/**
 * HPACK encoding (RFC 7541) for one direction of one connection. Values that differ with every request never enter the
 * table, and a name whose values turn out not to repeat loses the right to: entries that are never found only push out
 * those that are.
 *
 * `begin`, then `field` for each field, then read `at` and `fault`. A block with a fault must not be sent; the table is
 * then emptied on both sides with the next block.
 */
export class HpackEncoder {
  /** Where the next byte goes. */
  at = 0;
  /** Why the block can't be sent, or `null`. */
  fault: string | null = null;
  /** Changes whenever the table does. */
  generation = 0;

  #buffer: Buffer = none;
  readonly #names = new Map<string, EncoderName>();
  #method: EncoderName | null = null;
  #scheme: EncoderName | null = null;
  #authority: EncoderName | null = null;
  #path: EncoderName | null = null;
  #status: EncoderName | null = null;
  #origProto: EncoderName | null = null;
  /** A ring, by serial number. It grows with what is in it: most connections never fill their table. */
  #entries = noEntries;
  readonly #limitBytes: number;
  #capacityBytes: number;
  /** Serial number of the newest entry. */
  #serial = 0;
  #count = 0;
  #bytes = 0;
  /** Table sizes to announce with the next block: the least one in between, then the last. -1: none. */
  #leastUpdate = -1;
  #update = -1;
  /** The last list of headers, and, when it came twice, its encoding, which holds while the table stays as it is. */
  #lastList: HeaderList = noHeaders;
  #lastKeepHost = false;
  #lastBytes: Buffer | null = null;
  #lastLength = -1;
  #lastGeneration = -1;

  /** `limitBytes` bounds the table, whatever the peer allows. */
  constructor(limitBytes: number = defaultTableBytes) {
    this.#limitBytes = limitBytes;
    this.#capacityBytes = Math.min(defaultTableBytes, limitBytes);
    if (this.#capacityBytes < defaultTableBytes) this.#announce(this.#capacityBytes);
  }

  /** Entries in the dynamic table now. */
  get entries(): number {
    return this.#count;
  }

  /** Names remembered now. */
  get names(): number {
    return this.#names.size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(bytes: number): void {
    const capacity = Math.min(bytes, this.#limitBytes);
    if (capacity === this.#capacityBytes) return;
    this.#capacityBytes = capacity;
    this.#evict(0);
    this.#announce(capacity);
  }

  /** Most bytes that `begin` can write. */
  get beginBytes(): number {
    return this.#update < 0 ? 0 : 12;
  }

  begin(buffer: Buffer, at: number): void {
    this.#buffer = buffer;
    this.at = at;
    this.fault = null;
    if (this.#update < 0) return;
    if (this.#leastUpdate < this.#update) this.#integer(0x20, 0x1f, this.#leastUpdate);
    this.#integer(0x20, 0x1f, this.#update);
    this.#update = -1;
    this.#leastUpdate = -1;
  }

  /** Ends a block and returns the buffer that it was written to. */
  end(): Buffer {
    const buffer = this.#buffer;
    this.#buffer = none;
    if (this.fault !== null) this.#reset();
    return buffer;
  }

  /** Most bytes that a field can take. */
  static fieldBytes(name: string, value: string): number {
    return name.length + value.length + 12;
  }

  /** Writes a field; the caller has made room for `fieldBytes`. */
  field(text: string, value: string): void {
    this.#write(this.#names.get(text) ?? this.#meet(text), value);
  }

  // What is in every message needs no look-up.

  method(value: string): void {
    this.#method ??= this.#meet(":method");
    this.#write(this.#method, value);
  }

  scheme(value: string): void {
    this.#scheme ??= this.#meet(":scheme");
    this.#write(this.#scheme, value);
  }

  authority(value: string): void {
    this.#authority ??= this.#meet(":authority");
    this.#write(this.#authority, value);
  }

  path(value: string): void {
    this.#path ??= this.#meet(":path");
    this.#write(this.#path, value);
  }

  status(value: string): void {
    this.#status ??= this.#meet(":status");
    this.#write(this.#status, value);
  }

  origProto(value: string): void {
    this.#origProto ??= this.#meet(origProtoHeader);
    this.#write(this.#origProto, value);
  }

  /**
   * Writes a message's headers, or trailers, except what has no place in HTTP/2 (RFC 9113, section 8.2.2) and what only
   * the engine may say. `host` goes only where it is asked for.
   */
  headers(list: HeaderList, keepHost: boolean): void {
    const repeated = sameList(list, this.#lastList) && keepHost === this.#lastKeepHost;
    if (repeated && this.#lastLength >= 0 && this.#lastGeneration === this.generation) {
      const last = this.#lastBytes!;
      for (let at = 0; at < this.#lastLength; at += 1) this.#buffer[this.at++] = last[at]!;
      return;
    }
    const start = this.at;
    const generation = this.generation;
    this.#encode(list, keepHost);
    const length = this.at - start;
    const keep = repeated && this.fault === null && generation === this.generation && length <= repeatedBytes;
    this.#lastList = list;
    this.#lastKeepHost = keepHost;
    this.#lastLength = keep ? length : -1;
    if (!keep) return;
    this.#lastGeneration = generation;
    this.#lastBytes ??= Buffer.allocUnsafeSlow(repeatedBytes);
    this.#buffer.copy(this.#lastBytes, 0, start, this.at);
  }

  #encode(list: HeaderList, keepHost: boolean): void {
    for (let at = 0; at < list.length; at += 2) {
      const text = list[at]!;
      const owner = this.#names.get(text) ?? this.#meet(text);
      const kind = owner.name.kind;
      if (kind !== nameKind.regular) {
        if (kind === nameKind.connection || kind === nameKind.origProto) continue;
        if (kind === nameKind.host && !keepHost) continue;
        if (kind === nameKind.te && list[at + 1] !== "trailers") continue;
        if (kind <= nameKind.unknownPseudo) this.fault = "a header has the name of a pseudo-header";
      }
      this.#write(owner, list[at + 1]!);
    }
  }

  #write(owner: EncoderName, value: string): void {
    const values = owner.values;
    for (let at = 0; at < values.length; at += 1) {
      if (values[at] !== value) continue;
      const place = owner.places[at]!;
      if (owner.credit < maxCredit) owner.credit += 1;
      const index = place > 0 ? place : staticEntries + this.#serial + place + 1;
      if (index < 0x7f) this.#buffer[this.at++] = 0x80 | index;
      else this.#integer(0x80, 0x7f, index);
      return;
    }
    this.#literal(owner, value);
  }

  #meet(text: string): EncoderName {
    const name = headerName(text);
    const owner = new EncoderName(name);
    if (name.kind === nameKind.malformed || name.kind === nameKind.unknownPseudo) {
      this.fault = "a field name has a forbidden character";
    } else if (this.#names.size < maxNames) this.#names.set(text, owner);
    else owner.credit = -1;
    return owner;
  }

  #literal(owner: EncoderName, value: string): void {
    if (hasBlankEdge(value)) {
      this.#write(owner, value.trim());
      return;
    }
    const kind = owner.name.indexing;
    const bytes = owner.name.text.length + value.length + 32;
    const insert =
      kind === indexing.adaptive &&
      owner.credit >= 0 &&
      owner.values.length - owner.staticCount < maxValuesPerName &&
      bytes <= this.#capacityBytes >>> 2;
    let nameIndex = owner.staticIndex;
    const last = owner.places.length - 1;
    if (nameIndex === 0 && last >= 0) nameIndex = staticEntries + this.#serial + owner.places[last]! + 1;
    if (insert) this.#integer(0x40, 0x3f, nameIndex);
    else if (kind === indexing.secret) this.#integer(0x10, 0x0f, nameIndex);
    else this.#integer(0x00, 0x0f, nameIndex);
    if (nameIndex === 0) this.#text(owner.name.text);
    if (!insert) {
      this.#text(value);
      return;
    }
    // Sent once and used often, so the shorter form pays here and only here.
    const coded = huffmanLength(value);
    if (coded < value.length) {
      const fault = judgeValue(value);
      if (fault !== null) {
        this.fault = fault;
        return;
      }
      this.#integer(0x80, 0x7f, coded);
      this.at = huffmanEncode(value, this.#buffer, this.at);
    } else this.#text(value);
    this.#insert(owner, value, bytes);
  }

  #text(value: string): void {
    const length = value.length;
    this.#integer(0, 0x7f, length);
    const buffer = this.#buffer;
    let at = this.at;
    if (length > shortText) {
      const fault = judgeValue(value);
      if (fault !== null) this.fault = fault;
      else at += buffer.write(value, at, length, "latin1");
    } else {
      for (let index = 0; index < length; index += 1) {
        const code = value.charCodeAt(index);
        if (code > 0xff || badValueByte[code] === 1) this.fault = valueFault;
        buffer[at++] = code;
      }
    }
    this.at = at;
  }

  #integer(pattern: number, mask: number, value: number): void {
    const buffer = this.#buffer;
    if (value < mask) {
      buffer[this.at++] = pattern | value;
      return;
    }
    buffer[this.at++] = pattern | mask;
    value -= mask;
    while (value >= 0x80) {
      buffer[this.at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[this.at++] = value;
  }

  #insert(owner: EncoderName, value: string, bytes: number): void {
    this.generation += 1;
    owner.credit -= insertCost;
    this.#evict(bytes);
    if (this.#count === this.#entries.length) this.#grow();
    this.#serial += 1;
    this.#entries[this.#serial & (this.#entries.length - 1)] = new EncoderEntry(owner, bytes);
    this.#count += 1;
    this.#bytes += bytes;
    owner.add(value, -this.#serial);
  }

  #grow(): void {
    const old = this.#entries;
    const entries = new Array<EncoderEntry | null>(Math.max(firstSlots, old.length * 2)).fill(null);
    for (let serial = this.#serial - this.#count + 1; serial <= this.#serial; serial += 1) {
      entries[serial & (entries.length - 1)] = old[serial & (old.length - 1)]!;
    }
    this.#entries = entries;
  }

  #evict(roomBytes: number): void {
    while (this.#count > 0 && this.#bytes + roomBytes > this.#capacityBytes) {
      const serial = this.#serial - this.#count + 1;
      const slot = serial & (this.#entries.length - 1);
      const entry = this.#entries[slot]!;
      this.#entries[slot] = null;
      this.#count -= 1;
      this.#bytes -= entry.bytes;
      entry.owner.forget(-serial);
      this.generation += 1;
    }
  }

  #announce(capacity: number): void {
    this.#leastUpdate = this.#update < 0 ? capacity : Math.min(this.#leastUpdate, capacity);
    this.#update = capacity;
    this.generation += 1;
  }

  /** After a block that was not sent: whatever it inserted is unknown to the peer, so both sides start afresh. */
  #reset(): void {
    const capacity = this.#capacityBytes;
    this.#capacityBytes = 0;
    this.#evict(0);
    this.#capacityBytes = capacity;
    this.#announce(0);
    this.#announce(capacity);
  }
}

function sameList(a: HeaderList, b: HeaderList): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let at = a.length - 1; at >= 0; at -= 1) if (a[at] !== b[at]) return false;
  return true;
}

const none: Buffer = Buffer.alloc(0);
