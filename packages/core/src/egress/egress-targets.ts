import { isIP } from "node:net";
import type { MeshConfig } from "../config/config.js";
import type { Log } from "../mesh/log.js";
import { targetSettings } from "../mesh/target-source.js";
import type { DnsClient } from "../resolver/dns-client.js";
import { DnsResolver } from "../resolver/dns-resolver.js";
import { ListResolver } from "../resolver/list-resolver.js";
import { LoggedResolver } from "../resolver/logged-resolver.js";
import type { Resolver } from "../resolver/resolver.js";
import { systemClock } from "../runtime/clock.js";
import type { TargetConfig } from "../target/target.js";
import { type AllowedHost, EgressRules, isLocalhost, outsideName, type TargetScheme } from "./egress-rules.js";
import type { EgressTransports } from "./egress-transports.js";
import { GuardedResolver } from "./guarded-resolver.js";

export interface EgressTargetsParts {
  readonly config: MeshConfig;
  readonly transports: EgressTransports;
  readonly log: Log;
  readonly onProtection: (reason: string) => void;
  /** Asked for addresses. @defaultValue this machine's DNS */
  readonly dns?: () => DnsClient;
}

/** The targets outside the mesh, of what `outbound.egress.allow` names. */
export class EgressTargets {
  readonly #parts: EgressTargetsParts;
  readonly #rules: EgressRules;

  constructor(parts: EgressTargetsParts) {
    this.#parts = parts;
    this.#rules = new EgressRules(parts.config.outbound.egress.allow);
  }

  /** What allows an authority, `null` for nothing. */
  find(authority: string, scheme: TargetScheme): AllowedHost | null {
    return this.#rules.find(authority, scheme);
  }

  /** One target for each scheme, host and port. Those of a wildcard count as one in metrics, since anybody can think of more. */
  target(outside: AllowedHost): TargetConfig {
    const { config, transports } = this.#parts;
    const { defaults } = config.outbound;
    const { rule, scheme } = outside;
    const authority = outsideName(outside, scheme);
    // Routes of the defaults are of the mesh's services, as is what they say of zones.
    const settings = { ...defaults, routes: [] };
    return {
      ...targetSettings(config, settings),
      authority,
      outside: true,
      ...(rule.kind !== "exact" && { label: outsideName({ host: wildcard(rule), port: rule.port }, scheme) }),
      identity: null,
      resolver: this.#resolver(outside, authority),
      factory: transports.factory(outside, defaults.connectTimeoutMs),
    };
  }

  #resolver({ host, port, rule }: AllowedHost, authority: string): Resolver {
    // An address was allowed as it is.
    if (isIP(host) !== 0) return new ListResolver([{ host, port, identity: null }]);
    const { dns, log, onProtection } = this.#parts;
    const resolver = new DnsResolver({
      name: host,
      port,
      identity: null,
      clock: systemClock,
      ...(dns && { client: dns() }),
    });
    const logged = new LoggedResolver(resolver, authority, log);
    // Who names localhost means this machine.
    if (isLocalhost(host)) return logged;
    return new GuardedResolver(logged, host, rule.kind !== "exact", (reason) => {
      onProtection("egress address");
      log("warn", "egress.refused-address", { authority, reason });
    });
  }
}

function wildcard({ kind, host }: AllowedHost["rule"]): string {
  return kind === "any" ? "*" : `*.${host}`;
}
