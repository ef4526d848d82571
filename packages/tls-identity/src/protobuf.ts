import { IdentityError } from "./identity-error.js";

/**
 * Protocol Buffers' wire format, as far as the identity APIs need it: varints and length-delimited fields. Unknown fields are
 * skipped, as the format demands.
 */
export interface ProtoField {
  readonly number: number;
  /** Of a length-delimited field; empty otherwise. */
  readonly bytes: Buffer;
  /** Of a varint; 0 otherwise. Exact up to 2^53. */
  readonly value: number;
}

const maxFields = 4096;

/** The fields of a message, in order. Throws `certify-failed` for bytes that are no message. */
export function readMessage(bytes: Uint8Array): ProtoField[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: ProtoField[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = buffer[at++];
      if (byte === undefined) throw broken();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw broken();
  };
  const take = (length: number) => {
    if (length > buffer.length - at) throw broken();
    at += length;
    return buffer.subarray(at - length, at);
  };
  while (at < buffer.length) {
    if (fields.length >= maxFields) throw broken();
    const key = varint();
    const number = Math.floor(key / 8);
    if (number === 0) throw broken();
    switch (key % 8) {
      case 0:
        fields.push({ number, bytes: empty, value: varint() });
        break;
      case 1:
        take(8);
        break;
      case 2:
        fields.push({ number, bytes: take(varint()), value: 0 });
        break;
      case 5:
        take(4);
        break;
      default:
        throw broken();
    }
  }
  return fields;
}

/** The last value of a length-delimited field, as proto3 has it; empty if absent. */
export function bytesField(fields: readonly ProtoField[], number: number): Buffer {
  return fields.findLast((field) => field.number === number)?.bytes ?? empty;
}

/** As {@link bytesField}, as text. */
export function textField(fields: readonly ProtoField[], number: number): string {
  return bytesField(fields, number).toString("utf8");
}

/** All values of a repeated field. */
export function repeatedField(fields: readonly ProtoField[], number: number): Buffer[] {
  return fields.filter((field) => field.number === number).map((field) => field.bytes);
}

/** The last value of a varint field; 0 if absent. */
export function varintField(fields: readonly ProtoField[], number: number): number {
  return fields.findLast((field) => field.number === number)?.value ?? 0;
}

/** A length-delimited field. */
export function writeBytes(number: number, bytes: Uint8Array | string): Buffer {
  const content = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
  return Buffer.concat([varintBytes(number * 8 + 2), varintBytes(content.length), content]);
}

/** A varint field; nothing if it is 0, the default. */
export function writeVarint(number: number, value: number): Buffer {
  return value === 0 ? empty : Buffer.concat([varintBytes(number * 8), varintBytes(value)]);
}

const empty = Buffer.alloc(0);

function varintBytes(value: number): Buffer {
  const bytes: number[] = [];
  while (value > 0x7f) {
    bytes.push((value % 128) | 0x80);
    value = Math.floor(value / 128);
  }
  bytes.push(value);
  return Buffer.from(bytes);
}

function broken(): IdentityError {
  return new IdentityError("certify-failed", "a message that is not in Protocol Buffers' format");
}
