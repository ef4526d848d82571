import type { Log } from "../mesh/log.js";
import type { Resolver, ResolverListener, ResolverWatch } from "./resolver.js";

/** Says when discovery of an authority begins to fail, each time the reason changes, and when it works again. */
export class LoggedResolver implements Resolver {
  readonly #inner: Resolver;
  readonly #authority: string;
  readonly #log: Log;

  constructor(inner: Resolver, authority: string, log: Log) {
    this.#inner = inner;
    this.#authority = authority;
    this.#log = log;
  }

  watch(listener: ResolverListener): ResolverWatch {
    const authority = this.#authority;
    const log = this.#log;
    let failure = "";
    return this.#inner.watch({
      onUpdate(endpoints) {
        if (failure !== "" && endpoints.length > 0)
          log("warn", "discovery.recovered", { authority, endpoints: endpoints.length });
        failure = "";
        listener.onUpdate(endpoints);
      },
      onFailure(error) {
        if (error.message !== failure) log("warn", "discovery.failed", { authority, error });
        failure = error.message;
        listener.onFailure(error);
      },
    });
  }
}
