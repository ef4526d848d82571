import type { HeaderList } from "@selvage/http2";
import { normalizePath } from "@selvage/policy";
import type { Route } from "./route.js";
import { compareSpecificity, matches } from "./route-match.js";

/** Routes of one authority, most specific first. How specific a match is does not depend on the request, so that the first match wins. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #fallback: Route | null;

  /** `fallback` is for requests that no route matches; without one such requests have no route. */
  constructor(routes: readonly Route[], fallback: Route | null) {
    this.routes = Object.freeze([...routes].sort((a, b) => compareSpecificity(a.match, b.match)));
    this.#fallback = fallback;
  }

  get fallback(): Route | null {
    return this.#fallback;
  }

  find(method: string, target: string, headers: HeaderList): Route | null {
    const { routes } = this;
    if (routes.length === 0) return this.#fallback;
    // An ambiguous path has no route but those that match everything.
    const path = normalizePath(target) ?? "";
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i]!;
      if (matches(route.match, method, path, headers)) return route;
    }
    return this.#fallback;
  }
}
