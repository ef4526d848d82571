import type { HeaderCase } from "../../exchange.js";
import { invalidArgument } from "./dispatch-error.js";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const maxNames = 1024;

/**
 * Lower-cases and checks header names, once per spelling. It remembers a bounded number of spellings, and of each name
 * the first spelling other than lower case, so that an HTTP/1 peer can be given the names as the application wrote them.
 */
export class HeaderNames {
  readonly #lower = new Map<string, string>();
  readonly #case = new Map<string, string>();

  /** The name in lower case. Throws if it isn't a token (RFC 9110, section 5.6.2). */
  lower(name: string): string {
    const known = this.#lower.get(name);
    if (known !== undefined) return known;
    if (!token.test(name)) throw invalidArgument(`invalid header name ${JSON.stringify(name)}`);
    const lower = name.toLowerCase();
    if (this.#lower.size < maxNames) {
      this.#lower.set(name, lower);
      if (name !== lower && !this.#case.has(lower)) this.#case.set(lower, name);
    }
    return lower;
  }

  get headerCase(): HeaderCase | null {
    return this.#case.size === 0 ? null : this.#case;
  }
}
