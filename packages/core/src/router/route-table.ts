import type { HeaderList } from "@selvage/http2";
import { normalizePath } from "@selvage/policy";
import { PathTree } from "./path-tree.js";
import type { Route } from "./route.js";
import { RouteBucket } from "./route-bucket.js";
import { type CompiledMatch, compareSpecificity, compileMatch, restMatches } from "./route-match.js";

/**
 * Routes of one authority. What a request needs to find its route does not depend on how many there are, but for those whose
 * path is a regular expression: they are tried one by one, after all others but those for any path.
 */
export class RouteTable {
  /** Most specific first. */
  readonly routes: readonly Route[];
  readonly #fallback: Route | null;
  readonly #paths = new PathTree();
  readonly #regexes: { readonly route: Route; readonly match: CompiledMatch }[] = [];
  readonly #anyPath = new RouteBucket();

  /** `fallback` is for requests that no route matches; without one such requests have no route. */
  constructor(routes: readonly Route[], fallback: Route | null) {
    this.routes = Object.freeze([...routes].sort((a, b) => compareSpecificity(a.match, b.match)));
    this.#fallback = fallback;
    for (const route of this.routes) {
      const { kind, value } = route.match.path;
      const match = compileMatch(route.match);
      if (kind === "exact") this.#paths.exact(value).add(route, match);
      else if (kind === "regex") this.#regexes.push({ route, match });
      else if (value === "") this.#anyPath.add(route, match);
      else this.#paths.prefix(value).add(route, match);
    }
    this.#paths.seal();
  }

  get fallback(): Route | null {
    return this.#fallback;
  }

  find(method: string, target: string, headers: HeaderList): Route | null {
    if (this.routes.length === 0) return this.#fallback;
    const path = normalizePath(target);
    // An ambiguous path has no route but those for any path.
    const route = path === null ? null : this.#findPath(path, method, target, headers);
    return route ?? this.#anyPath.find(method, target, headers) ?? this.#fallback;
  }

  #findPath(path: string, method: string, target: string, headers: HeaderList): Route | null {
    const paths = this.#paths;
    paths.look(path);
    const exact = paths.exactFound;
    let node = paths.prefixFound;
    let route = exact === null ? null : exact.find(method, target, headers);
    while (route === null && node !== null) {
      route = node.prefix!.find(method, target, headers);
      node = node.outer;
    }
    for (let i = 0; route === null && i < this.#regexes.length; i++) {
      const { match, route: candidate } = this.#regexes[i]!;
      const wanted = match.config.method;
      if (wanted !== null && wanted !== method) continue;
      if (restMatches(match, method, target, headers) && match.pathRegex!.matches(path)) route = candidate;
    }
    return route;
  }
}
