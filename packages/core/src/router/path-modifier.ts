import type { PathMatchConfig, PathModifierConfig } from "../config/config.js";

/** Replaces a request's path, or the prefix of it that the route matched. The query stays. */
export class PathModifier {
  readonly config: PathModifierConfig;
  /** Segments of the matched prefix. Counted, since the path as it was sent may encode them in other ways. */
  readonly #segments: number;

  constructor(config: PathModifierConfig, matched: PathMatchConfig) {
    this.config = config;
    this.#segments = matched.value === "" ? 0 : matched.value.split("/").length - 1;
  }

  /** What has no path (`*`, CONNECT) is left as it is. */
  apply(target: string): string {
    if (target.charCodeAt(0) !== 47) return target;
    const question = target.indexOf("?");
    const end = question === -1 ? target.length : question;
    const query = target.slice(end);
    const { kind, value } = this.config;
    if (kind === "full") return value + query;
    let at = 0;
    for (let n = 0; n < this.#segments; n++) {
      const next = target.indexOf("/", at + 1);
      at = next === -1 || next > end ? end : next;
    }
    return (value + target.slice(at, end) || "/") + query;
  }
}
