import type { HeaderCase, HeaderList } from "../../exchange.js";

const maxNames = 512;
const nameBytes = new Map<string, Buffer>();

function bytesOfName(name: string): Buffer {
  const known = nameBytes.get(name);
  if (known !== undefined) return known;
  const bytes = Buffer.from(name, "latin1");
  if (nameBytes.size < maxNames) nameBytes.set(name, bytes);
  return bytes;
}

/** `[name, value, …]` as Buffers, which is how undici gives raw headers. */
export function rawPairs(headers: HeaderList, names: HeaderCase | null): Buffer[] {
  const pairs = new Array<Buffer>(headers.length);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    pairs[i] = bytesOfName(names?.get(name) ?? name);
    pairs[i + 1] = Buffer.from(headers[i + 1]!, "latin1");
  }
  return pairs;
}

/** Headers as an object, in which names that occur more than once have an array. */
export function headersObject(headers: HeaderList): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    const value = headers[i + 1]!;
    const before = Object.hasOwn(object, name) ? object[name] : undefined;
    if (before === undefined) {
      if (name === "__proto__")
        Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
      else object[name] = value;
    } else if (typeof before === "string") object[name] = [before, value];
    else before.push(value);
  }
  return object;
}
