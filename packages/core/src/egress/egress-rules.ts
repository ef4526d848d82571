import { isIP } from "node:net";
import { formatHostPort } from "../config/address.js";
import type { EgressRuleConfig } from "../config/config.js";
import { canonicalHost } from "./egress-rule.js";

/** What is asked for: a URL's scheme, or a tunnel of bytes (CONNECT). */
export type TargetScheme = "http" | "https" | "connect";

/** A name or an address outside the mesh, and a port. */
export interface OutsideHost {
  /** Lower case, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** An authority that may be called although it is outside the mesh. */
export interface AllowedHost extends OutsideHost {
  readonly scheme: TargetScheme;
  readonly rule: EgressRuleConfig;
}

/** What `outbound.egress.allow` says. Asked when an authority is used for the first time, not per request. */
export class EgressRules {
  readonly #rules: readonly EgressRuleConfig[];

  constructor(rules: readonly EgressRuleConfig[]) {
    this.#rules = rules;
  }

  /** Finds the entry that allows an authority: an exact one, else that of the longest suffix, else `*`. `null`: none does. */
  find(authority: string, scheme: TargetScheme): AllowedHost | null {
    if (this.#rules.length === 0) return null;
    const address = outsideHost(authority, scheme);
    if (address === null) return null;
    let found: EgressRuleConfig | null = null;
    for (const rule of this.#rules) {
      // Who tunnels to a port may speak on it whatever is allowed there.
      if (scheme !== "connect" && rule.scheme !== scheme) continue;
      if (rule.port === address.port && covers(rule, address.host) && (found === null || rank(rule) > rank(found)))
        found = rule;
    }
    return found === null ? null : { ...address, scheme, rule: found };
  }
}

function covers({ kind, host: named }: EgressRuleConfig, host: string): boolean {
  if (kind === "exact") return host === named;
  if (isIP(host) !== 0 || !host.includes(".") || isLocalhost(host)) return false;
  return kind === "any" || host.endsWith(`.${named}`);
}

function rank({ kind, host }: EgressRuleConfig): number {
  return kind === "exact" ? 1_000 : host.length;
}

/** Host and port of an authority; `null` for what isn't one. Without a port it is the scheme's, and 443 for tunnels. */
export function outsideHost(authority: string, scheme: TargetScheme): OutsideHost | null {
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(authority.toLowerCase());
  const host = parts === null ? null : canonicalHost(parts[1]!);
  if (parts === null || host === null) return null;
  const port = parts[2] === undefined ? (scheme === "http" ? 80 : 443) : Number(parts[2]);
  return port >= 1 && port <= 65_535 ? { host, port } : null;
}

/** What a target outside the mesh is called in metrics and by people: `https://api.example.com`, `tcp://api.example.com:443`. */
export function outsideName({ host, port }: OutsideHost, scheme: TargetScheme): string {
  if (scheme === "connect") return `tcp://${formatHostPort({ host, port })}`;
  const own = port === (scheme === "https" ? 443 : 80);
  return `${scheme}://${own ? (host.includes(":") ? `[${host}]` : host) : formatHostPort({ host, port })}`;
}

export function isLocalhost(host: string): boolean {
  return /(^|\.)localhost$/.test(host);
}
