import type { HeaderList } from "@selvage/http2";
import type { HashConfig } from "../config/config.js";

/** The request has no key. */
export const noKey = -1;

/**
 * What of a request decides which endpoint it belongs to: the value of a header, or of a cookie that the application set.
 * A number of 32 bits, the same in every process.
 */
export class HashKey {
  readonly #name: string;
  readonly #inCookie: boolean;

  constructor({ by, name }: HashConfig) {
    this.#name = name;
    this.#inCookie = by === "cookie";
  }

  /** The hash of the first value, `noKey` when there is none, or an empty one. */
  of(headers: HeaderList): number {
    const header = this.#inCookie ? "cookie" : this.#name;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (headers[i] !== header) continue;
      const value = headers[i + 1]!;
      if (!this.#inCookie) return value === "" ? noKey : hashText(value, 0, value.length);
      // HTTP/2 may send cookies in several headers.
      const found = this.#ofCookies(value);
      if (found !== noKey) return found;
    }
    return noKey;
  }

  #ofCookies(text: string): number {
    const name = this.#name;
    let at = 0;
    while (at < text.length) {
      let end = text.indexOf(";", at);
      if (end === -1) end = text.length;
      // 32 is a space.
      while (at < end && text.charCodeAt(at) === 32) at++;
      const from = at + name.length + 1;
      // 61 is "=".
      if (from < end && text.charCodeAt(from - 1) === 61 && text.startsWith(name, at)) return hashText(text, from, end);
      at = end + 1;
    }
    return noKey;
  }
}

/** FNV-1a over UTF-16 units. Not for secrets: who chooses keys can choose what they collide with. */
export function hashText(text: string, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return scatter(hash);
}

/** Every bit of the result depends on every bit of the number (the end of MurmurHash3). */
export function scatter(number: number): number {
  let hash = number;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
