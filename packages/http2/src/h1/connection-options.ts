import type { HeaderList } from "../exchange.js";
import { isRemovedWhenNominated } from "./field-name.js";
import { isToken } from "./grammar.js";

// A few are usual. More are work that somebody wants done: each is looked up in the whole head.
const maxOptions = 16;

/** What `Connection` said (RFC 9110, section 7.6.1). */
export class ConnectionOptions {
  close = false;
  keepAlive = false;
  upgrade = false;
  #nominated: string[] | null = null;
  #count = 0;

  clear(): void {
    this.close = false;
    this.keepAlive = false;
    this.upgrade = false;
    this.#nominated = null;
    this.#count = 0;
  }

  /** Adds the options of one field line. `false`: it isn't a list of tokens, or too long a one. */
  add(value: string): boolean {
    if (value === "keep-alive") {
      this.keepAlive = true;
      return true;
    }
    if (value === "close") {
      this.close = true;
      return true;
    }
    const options = value.toLowerCase().split(",");
    this.#count += options.length;
    if (this.#count > maxOptions) return false;
    for (const padded of options) {
      const option = padded.trim();
      if (option === "") continue;
      if (!isToken(option)) return false;
      this.#take(option);
    }
    return true;
  }

  #take(option: string): void {
    if (option === "close") this.close = true;
    else if (option === "keep-alive") this.keepAlive = true;
    else if (option === "upgrade") this.upgrade = true;
    else if (isRemovedWhenNominated(option)) {
      this.#nominated ??= [];
      this.#nominated.push(option);
    }
  }

  /** The headers without those that were named. */
  filter(headers: HeaderList): HeaderList {
    const nominated = this.#nominated;
    if (nominated === null) return headers;
    const kept: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      if (!nominated.includes(headers[i]!)) kept.push(headers[i]!, headers[i + 1]!);
    }
    return kept;
  }
}
