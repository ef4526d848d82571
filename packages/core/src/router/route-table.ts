import type { HeaderList } from "@selvage/http2";
import { normalizePath } from "@selvage/policy";
import type { Route } from "./route.js";
import { compareSpecificity, matches } from "./route-match.js";

/** Routes of one authority, most specific first. How specific a match is does not depend on the request, so that the first match wins. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #fallback: Route | null;
  // Where each route's path ends and with which character: nearly all routes that don't match differ there, and two numbers
  // are compared far sooner than anything else of a route.
  readonly #ends: Int32Array;
  readonly #lastCodes: Int32Array;

  /** `fallback` is for requests that no route matches; without one such requests have no route. */
  constructor(routes: readonly Route[], fallback: Route | null) {
    this.routes = Object.freeze([...routes].sort((a, b) => compareSpecificity(a.match, b.match)));
    this.#fallback = fallback;
    this.#ends = Int32Array.from(this.routes, ({ match }) => match.path.value.length - 1);
    this.#lastCodes = Int32Array.from(this.routes, ({ match }) =>
      match.path.value.charCodeAt(match.path.value.length - 1),
    );
  }

  get fallback(): Route | null {
    return this.#fallback;
  }

  find(method: string, target: string, headers: HeaderList): Route | null {
    const { routes } = this;
    if (routes.length === 0) return this.#fallback;
    // An ambiguous path has no route but those that match everything.
    const path = normalizePath(target) ?? "";
    const ends = this.#ends;
    const lastCodes = this.#lastCodes;
    for (let i = 0; i < ends.length; i++) {
      const end = ends[i]!;
      if (end >= 0 && (end >= path.length || path.charCodeAt(end) !== lastCodes[i])) continue;
      const route = routes[i]!;
      if (matches(route.match, method, path, headers)) return route;
    }
    return this.#fallback;
  }
}
