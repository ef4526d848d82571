import { lookup, Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";

/** An address, and for how many seconds it holds. */
export interface DnsAddress {
  readonly address: string;
  readonly ttl: number;
}

/** A SRV record (RFC 2782). */
export interface DnsService {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** What is asked of DNS. Rejects with an error whose `code` is one of node:dns. The seam for tests. */
export interface DnsClient {
  /** A records, or AAAA records, of a name. */
  addresses(name: string, family: 4 | 6): Promise<readonly DnsAddress[]>;
  services(name: string): Promise<readonly DnsService[]>;
  /** Whether this machine's hosts file has the name. */
  inHostsFile(name: string): boolean;
  /** What this machine makes of a name: its hosts file, its search domains. Blocks a thread of the pool, has no TTL. */
  system(name: string): Promise<readonly string[]>;
  /** Ends what is being asked: it rejects. */
  cancel(): void;
}

/**
 * Asks DNS servers: two tries, 2 seconds for the first.
 *
 * @param servers `ip:port` of each. Those that this machine is configured for, unless given
 */
export function systemDns(servers?: readonly string[]): DnsClient {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return {
    addresses: (name, family) =>
      family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
    inHostsFile: (name) => hostNames().has(name.toLowerCase()),
    services: (name) => resolver.resolveSrv(name),
    system: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
    cancel: () => resolver.cancel(),
  };
}

/** 6 on hosts that reach others by IPv6 only, else 4. */
export function preferredFamily(): 4 | 6 {
  const outward = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return outward.length > 0 && outward.every(({ family }) => family === "IPv6") ? 6 : 4;
}

/** The names in the hosts file; none where there is no such file. */
function hostNames(): ReadonlySet<string> {
  const names = new Set<string>();
  try {
    for (const line of readFileSync("/etc/hosts", "utf8").split("\n")) {
      for (const name of line.split("#", 1)[0]!.trim().split(/\s+/).slice(1)) names.add(name.toLowerCase());
    }
  } catch {
    // Another system: its resolver is asked when DNS knows nothing.
  }
  return names;
}
