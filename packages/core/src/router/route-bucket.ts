import type { HeaderList } from "@selvage/http2";
import type { Route } from "./route.js";
import { type CompiledMatch, restMatches } from "./route-match.js";

interface Entry {
  readonly route: Route;
  readonly match: CompiledMatch;
}

/** Routes of one path, most specific first, by method. */
export class RouteBucket {
  #byMethod: Map<string, Entry[]> | null = null;
  readonly #anyMethod: Entry[] = [];

  /** To be called with the most specific first. */
  add(route: Route, match: CompiledMatch): void {
    const { method } = match.config;
    if (method === null) {
      this.#anyMethod.push({ route, match });
      return;
    }
    this.#byMethod ??= new Map();
    const entries = this.#byMethod.get(method);
    if (entries === undefined) this.#byMethod.set(method, [{ route, match }]);
    else entries.push({ route, match });
  }

  find(method: string, target: string, headers: HeaderList): Route | null {
    const entries = this.#byMethod?.get(method);
    return (
      (entries === undefined ? null : firstOf(entries, method, target, headers)) ??
      firstOf(this.#anyMethod, method, target, headers)
    );
  }
}

function firstOf(entries: readonly Entry[], method: string, target: string, headers: HeaderList): Route | null {
  for (let i = 0; i < entries.length; i++) {
    const { route, match } = entries[i]!;
    if (restMatches(match, method, target, headers)) return route;
  }
  return null;
}
