import type { MirrorConfig, PathMatchConfig, RedirectConfig, RouteFiltersConfig } from "../config/config.js";
import type { MeshExchange } from "../exchange.js";
import { HeaderFilter } from "./header-filter.js";
import { PathModifier } from "./path-modifier.js";

/** What a route does to a request and its response, made for doing it. */
export class RouteFilters {
  readonly config: RouteFiltersConfig;
  readonly requestHeaders: HeaderFilter | null;
  readonly responseHeaders: HeaderFilter | null;
  readonly redirect: Redirect | null;
  readonly rewrite: Rewrite | null;
  readonly mirror: MirrorConfig | null;

  constructor(config: RouteFiltersConfig, path: PathMatchConfig) {
    const { requestHeaders, responseHeaders, redirect, rewrite, mirror } = config;
    this.config = config;
    this.requestHeaders = requestHeaders === null ? null : new HeaderFilter(requestHeaders);
    this.responseHeaders = responseHeaders === null ? null : new HeaderFilter(responseHeaders);
    this.redirect = redirect === null ? null : new Redirect(redirect, path);
    this.rewrite =
      rewrite === null
        ? null
        : new Rewrite(rewrite.hostname, rewrite.path === null ? null : new PathModifier(rewrite.path, path));
    this.mirror = mirror;
  }
}

/** What a redirect looks at. */
export type RedirectedRequest = Pick<MeshExchange, "scheme" | "authority" | "path">;

/** Sends the caller elsewhere. */
export class Redirect {
  readonly config: RedirectConfig;
  readonly #path: PathModifier | null;

  constructor(config: RedirectConfig, path: PathMatchConfig) {
    this.config = config;
    this.#path = config.path === null ? null : new PathModifier(config.path, path);
  }

  /** Where to, or `null` when that is where the request came (which would never end). */
  location(x: RedirectedRequest): string | null {
    const { config } = this;
    const scheme = config.scheme ?? x.scheme;
    const [host, port] = splitAuthority(x.authority);
    // A scheme that is named brings its own port (Gateway API).
    const asked = config.port ?? (config.scheme === null ? port : null);
    const implied = scheme === "https" ? 443 : 80;
    const authority = `${config.hostname ?? host}${asked === null || asked === implied ? "" : `:${asked}`}`;
    const path = this.#path === null ? x.path : this.#path.apply(x.path);
    const own = `${host}${port === null || port === (x.scheme === "https" ? 443 : 80) ? "" : `:${port}`}`;
    if (scheme === x.scheme && authority.toLowerCase() === own.toLowerCase() && path === x.path) return null;
    return `${scheme}://${authority}${path}`;
  }
}

/** Sends the request on under another name or path. */
export class Rewrite {
  readonly path: PathModifier | null;
  readonly #hostname: string | null;

  constructor(hostname: string | null, path: PathModifier | null) {
    this.#hostname = hostname;
    this.path = path;
  }

  apply(x: MeshExchange): void {
    if (this.path !== null) x.path = this.path.apply(x.path);
    if (this.#hostname === null) return;
    x.authority = this.#hostname;
    const headers = [...x.headers];
    for (let i = 0; i + 1 < headers.length; i += 2) if (headers[i] === "host") headers[i + 1] = this.#hostname;
    x.headers = headers;
  }
}

function splitAuthority(authority: string): readonly [host: string, port: number | null] {
  const colon = authority.lastIndexOf(":");
  if (colon === -1 || authority.endsWith("]")) return [authority, null];
  return [authority.slice(0, colon), Number(authority.slice(colon + 1))];
}
