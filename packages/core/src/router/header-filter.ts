import type { HeaderList } from "@selvage/http2";
import type { HeaderFilterConfig } from "../config/config.js";

/** Changes a list of headers: what it sets replaces, what it adds comes after what there is. */
export class HeaderFilter {
  readonly config: HeaderFilterConfig;
  /** What is taken out, or replaced. */
  readonly #dropped: ReadonlySet<string>;
  readonly #appended: readonly string[];

  constructor(config: HeaderFilterConfig) {
    this.config = config;
    this.#dropped = new Set([...config.remove, ...config.set.map(({ name }) => name)]);
    this.#appended = [...config.set, ...config.add].flatMap(({ name, value }) => [name, value]);
  }

  apply(headers: HeaderList): HeaderList {
    const changed: string[] = [];
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (!this.#dropped.has(headers[i]!)) changed.push(headers[i]!, headers[i + 1]!);
    }
    for (let i = 0; i < this.#appended.length; i++) changed.push(this.#appended[i]!);
    return changed;
  }
}
