import { type FieldName, readFieldName } from "./field-name.js";
import { tokenOctets, valueOctets } from "./grammar.js";
import { type Violation, violations } from "./violation.js";

const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const colon = 0x3a;

/** Reads field lines one after the other, into itself (RFC 9112, section 5). */
export class FieldLine {
  name: FieldName = readFieldName(Buffer.from("host"), 0, 4, 0);
  value = "";
  violation: Violation = violations.fieldName;

  /**
   * Reads the line at `at` and returns where the next begins; 0 when it breaks the protocol. `text` is the same octets as `bytes`
   * from `offset` on. There must be a CR at or after `at`, so that no loop has to look for the end.
   * `expected` is a guess at the name: the one that stood here in the last head.
   */
  read(bytes: Uint8Array, at: number, text: string, offset: number, expected: FieldName | undefined): number {
    let i = at;
    let octet = 0;
    let name: FieldName;
    if (expected?.is(bytes, at, expected.length) && bytes[at + expected.length] === colon) {
      name = expected;
      i += expected.length;
    } else {
      let hash = 0;
      octet = bytes[i]!;
      while (tokenOctets[octet] === 1) {
        hash = (Math.imul(hash, 31) + octet) | 0;
        octet = bytes[++i]!;
      }
      if (octet !== colon || i === at) return this.#refuseName(octet, i === at);
      name = readFieldName(bytes, at, i, hash);
    }
    octet = bytes[++i]!;
    while (octet === space || octet === tab) octet = bytes[++i]!;
    const start = i;
    while (valueOctets[octet] === 1) octet = bytes[++i]!;
    if (octet !== carriageReturn || bytes[i + 1] !== lineFeed) return this.#refuseValue(octet);
    let end = i;
    while (end > start && (bytes[end - 1] === space || bytes[end - 1] === tab)) end--;
    this.name = name;
    this.value = text.slice(start - offset, end - offset);
    return i + 2;
  }

  #refuseName(octet: number, first: boolean): number {
    if (octet === carriageReturn || octet === lineFeed)
      this.violation = first ? violations.lineEnding : violations.fieldName;
    else if (octet === space || octet === tab)
      this.violation = first ? violations.obsFold : violations.spaceBeforeColon;
    else this.violation = violations.fieldName;
    return 0;
  }

  #refuseValue(octet: number): number {
    const ending = octet === carriageReturn || octet === lineFeed;
    this.violation = ending ? violations.lineEnding : violations.fieldValue;
    return 0;
  }
}
