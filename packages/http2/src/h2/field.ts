import type { HeaderName } from "./header-name.js";

/** One header field as the tables of HPACK keep it: decoded, judged and interned once, used by reference ever after. */
export class Field {
  readonly name: HeaderName;
  readonly value: string;
  /** Why the value makes a message malformed, or `null`. */
  readonly fault: string | null;
  /** RFC 7541, section 4.1. */
  readonly bytes: number;

  constructor(name: HeaderName, value: string, fault: string | null) {
    this.name = name;
    this.value = value;
    this.fault = fault;
    this.bytes = name.text.length + value.length + 32;
  }
}
