import { isIP } from "node:net";
import type { Clock } from "../runtime/clock.js";
import { type DnsClient, type DnsService, preferredFamily, systemDns } from "./dns-client.js";
import type { EndpointAddress, Resolver, ResolverListener, ResolverWatch } from "./resolver.js";

export interface DnsResolverOptions {
  /** The name, without a port. One that starts with an underscore is asked for SRV records, others for addresses. */
  readonly name: string;
  /** The port of all addresses; SRV records bring their own. */
  readonly port: number;
  readonly identity: string | null;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** @defaultValue this machine's DNS servers */
  readonly client?: DnsClient;
  /** Which addresses are asked for first. The others are, when there are none. @defaultValue 4, unless this host has only IPv6 */
  readonly family?: 4 | 6;
}

const minTtlMs = 1_000;
const maxTtlMs = 60_000;
/** For answers that have no TTL: the hosts file, search domains. */
const systemTtlMs = 10_000;
const minRetryMs = 5_000;
const maxRetryMs = 30_000;
/** A name that is said not to exist is given up when it was said this often in a row. */
const believedDenials = 3;

const denials: ReadonlySet<unknown> = new Set(["ENOTFOUND", "ENODATA"]);

/**
 * Endpoints from DNS: all addresses of a name, or the targets of its SRV records (those of the lowest priority, with
 * their weights). Asked again when the TTL is over, of 1 to 60 s; one question at a time. Addresses of one family are
 * used, so that an instance isn't two endpoints.
 *
 * A failure leaves the endpoints as they are for as long as it lasts, and is tried again after 5 to 30 s. A name that does
 * not exist any more is only believed to be gone after the third such answer.
 */
export class DnsResolver implements Resolver {
  readonly #options: DnsResolverOptions;

  constructor(options: DnsResolverOptions) {
    this.#options = options;
  }

  watch(listener: ResolverListener): ResolverWatch {
    return new DnsWatch(this.#options, listener);
  }
}

/** What a question gave. */
interface Answer {
  readonly endpoints: readonly EndpointAddress[];
  readonly ttlMs: number;
}

class DnsWatch implements ResolverWatch {
  readonly #options: DnsResolverOptions;
  readonly #listener: ResolverListener;
  readonly #client: DnsClient;
  readonly #family: 4 | 6;
  #timer: unknown = null;
  #last: string | null = null;
  #failures = 0;
  #denials = 0;
  #closed = false;

  constructor(options: DnsResolverOptions, listener: ResolverListener) {
    this.#options = options;
    this.#listener = listener;
    this.#client = options.client ?? systemDns();
    this.#family = options.family ?? preferredFamily();
    this.#ask();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.clock.clearTimer(this.#timer);
    this.#client.cancel();
  }

  #ask(): void {
    const { name } = this.#options;
    const asked = name.startsWith("_") ? this.#askServices(name) : this.#askAddresses(name);
    asked.then(
      (answer) => this.#answered(answer),
      (error: unknown) => this.#failed(error),
    );
  }

  #answered({ endpoints, ttlMs }: Answer): void {
    if (this.#closed) return;
    const recovered = this.#failures > 0;
    this.#failures = 0;
    this.#denials = 0;
    this.#again(Math.min(Math.max(ttlMs, minTtlMs), maxTtlMs));
    this.#tell(endpoints, recovered);
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    const { name } = this.#options;
    const code = codeOf(error);
    const denied = denials.has(code);
    this.#denials = denied ? this.#denials + 1 : 0;
    this.#again(Math.min(minRetryMs * 2 ** this.#failures++, maxRetryMs));
    if (this.#denials >= believedDenials) this.#tell([], false);
    const what = name.startsWith("_") ? "SRV record" : "address";
    const text = denied ? `DNS knows no ${what} of ${name}` : `DNS does not answer for ${name}`;
    this.#listener.onFailure(new Error(`${text} (${code})`, { cause: error }));
  }

  #again(delayMs: number): void {
    this.#timer = this.#options.clock.setTimer(() => this.#ask(), delayMs);
  }

  /** Tells what is new: servers answer in changing order. What is known is told again when it takes a failure back. */
  #tell(endpoints: readonly EndpointAddress[], always: boolean): void {
    const sorted = [...endpoints].sort((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : a.port - b.port));
    const key = JSON.stringify(sorted);
    if (key === this.#last && !always) return;
    this.#last = key;
    this.#listener.onUpdate(sorted);
  }

  async #askAddresses(name: string): Promise<Answer> {
    const { port } = this.#options;
    const { addresses, ttlMs } = await this.#addressesOf(name);
    return { endpoints: addresses.map((host) => this.#endpoint(host, port, 1)), ttlMs };
  }

  async #askServices(name: string): Promise<Answer> {
    const services = await this.#client.services(name);
    // A single target "." says that the service is decidedly not there (RFC 2782).
    const offered = services.filter((service) => service.name !== "" && service.name !== ".");
    const first = offered.reduce((least, { priority }) => Math.min(least, priority), Number.POSITIVE_INFINITY);
    const used = offered.filter(({ priority }) => priority === first);
    const weighted = used.some(({ weight }) => weight > 0);
    const endpoints: EndpointAddress[] = [];
    let ttlMs = used.length === 0 ? systemTtlMs : maxTtlMs;
    let failure: unknown = null;
    const found = await Promise.allSettled(used.map((service) => this.#addressesOf(service.name)));
    for (const [i, result] of found.entries()) {
      if (result.status === "rejected") {
        failure = result.reason;
        continue;
      }
      const { port, weight } = used[i] as DnsService;
      ttlMs = Math.min(ttlMs, result.value.ttlMs);
      // A weight of 0 is for a very small share, not for none, when others have more.
      for (const host of result.value.addresses)
        endpoints.push(this.#endpoint(host, port, weighted ? Math.max(weight, 1) : 1));
    }
    if (endpoints.length === 0 && failure !== null) throw failure;
    return { endpoints, ttlMs };
  }

  async #addressesOf(name: string): Promise<{ readonly addresses: readonly string[]; readonly ttlMs: number }> {
    if (isIP(name) !== 0) return { addresses: [name], ttlMs: maxTtlMs };
    let failure: unknown = null;
    // Names of this machine's own come first, as everywhere on it; no server is asked for them (RFC 6761, section 6.3).
    if (isLocalhost(name) || this.#client.inHostsFile(name)) return this.#askSystem(name, failure);
    for (const family of this.#family === 4 ? ([4, 6] as const) : ([6, 4] as const)) {
      try {
        const found = await this.#client.addresses(name, family);
        if (found.length > 0) {
          const ttl = found.reduce((least, one) => Math.min(least, one.ttl), Number.POSITIVE_INFINITY);
          return { addresses: unique(found.map(({ address }) => address)), ttlMs: ttl * 1000 };
        }
      } catch (error) {
        failure = error;
        // Servers that don't answer won't for the other family.
        if (!denials.has(codeOf(error))) break;
      }
    }
    return this.#askSystem(name, failure);
  }

  /** What the hosts file and the search domains make of a name. */
  async #askSystem(name: string, failure: unknown) {
    try {
      const found = await this.#client.system(name);
      const isPreferred = (address: string) => isIP(address) === this.#family;
      const addresses = found.some(isPreferred) ? found.filter(isPreferred) : found;
      if (addresses.length > 0) return { addresses: unique(addresses), ttlMs: systemTtlMs };
    } catch (error) {
      // That a server doesn't answer says more than that a file knows nothing.
      if (failure === null || denials.has(codeOf(failure))) failure = error;
    }
    throw failure ?? Object.assign(new Error("no address"), { code: "ENODATA" });
  }

  #endpoint(host: string, port: number, weight: number): EndpointAddress {
    const { identity, attributes } = this.#options;
    return { host, port, identity, weight, ...(attributes && { attributes }) };
  }
}

function isLocalhost(name: string): boolean {
  return /(^|\.)localhost\.?$/i.test(name);
}

function unique(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses)];
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? String(error);
}
