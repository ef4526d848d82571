import { invalidArgument } from "./dispatch-error.js";

/** Where a request goes, taken from a URL's origin. */
export interface Origin {
  readonly scheme: "http" | "https";
  /** Host, and the port unless it is the scheme's own. */
  readonly authority: string;
}

const maxOrigins = 256;

/** Parses origins, and remembers the last ones: a program calls few, often. */
export class Origins {
  #known = new Map<string, Origin>();

  /** Throws an error with code UND_ERR_INVALID_ARG for anything but an http: or https: origin. */
  of(origin: string | URL | undefined | null): Origin {
    if (origin instanceof URL) return read(origin);
    if (typeof origin !== "string" || origin === "")
      throw invalidArgument("opts.origin must be a non-empty string or URL");
    const known = this.#known.get(origin);
    if (known !== undefined) return known;
    if (!URL.canParse(origin)) throw invalidArgument(`invalid origin ${JSON.stringify(origin)}`);
    const made = read(new URL(origin));
    // Starting over is cheaper than keeping an order, and happens only where origins don't repeat.
    if (this.#known.size >= maxOrigins) this.#known = new Map();
    this.#known.set(origin, made);
    return made;
  }
}

function read(url: URL): Origin {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalidArgument(`origin must be http: or https:, got ${url.protocol}`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw invalidArgument("invalid origin: it has a path");
  return Object.freeze({ scheme: url.protocol === "http:" ? "http" : "https", authority: url.host } as const);
}
