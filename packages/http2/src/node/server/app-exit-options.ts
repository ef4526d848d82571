import { type Clock, systemClock } from "../../clock.js";

/** How requests reach a Node application. Everything is optional. */
export interface AppExitOptions {
  /**
   * - `objects`: Node's own request and response objects, filled in without text and sockets between.
   * - `pair`: each request as HTTP/1.1 text through a pair of streams in memory into the server's own parser. Slower,
   *   and made of documented interfaces only.
   * - `auto`: `objects` unless the self-test of that way (`seamReport()`) fails on the Node that runs.
   *
   * @defaultValue "auto"
   */
  seam?: "auto" | "objects" | "pair";
  /** For tests. @defaultValue the system's clock */
  clock?: Clock;
}

export interface AppExitConfig {
  readonly seam: "auto" | "objects" | "pair";
  readonly clock: Clock;
}

export const appExitDefaults: AppExitConfig = Object.freeze({ seam: "auto", clock: systemClock });

/** Completes and checks the options. Throws a `TypeError` that names what is wrong. */
export function resolveAppExit(options: AppExitOptions = {}): AppExitConfig {
  const seam = options.seam ?? appExitDefaults.seam;
  if (seam !== "auto" && seam !== "objects" && seam !== "pair") {
    throw new TypeError(`seam: ${JSON.stringify(seam)} is not known. Use "auto", "objects" or "pair".`);
  }
  return Object.freeze({ seam, clock: options.clock ?? appExitDefaults.clock });
}
