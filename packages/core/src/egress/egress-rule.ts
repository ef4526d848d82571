import { isIP, isIPv4, isIPv6 } from "node:net";
import type { Refusal } from "@selvage/policy";
import { isHostName } from "../config/address.js";
import type { EgressRuleConfig } from "../config/config.js";

const defaultPorts = { http: 80, https: 443 } as const;

/**
 * Reads an entry of `outbound.egress.allow`: `[scheme://]host[:port]`. The scheme is https unless given, the port is the
 * scheme's; the host is a name, `*.` and a suffix, `*`, or an address.
 */
export function parseEgressRule(text: string): EgressRuleConfig | Refusal {
  if (text !== text.toLowerCase()) return { problem: "must be lower case", remedy: `write "${text.toLowerCase()}"` };
  const [, schemeText, rest = ""] = /^(?:([^/]*):\/\/)?(.*)$/s.exec(text)!;
  const scheme = schemeText ?? "https";
  if (scheme !== "http" && scheme !== "https")
    return { problem: "must be http or https", remedy: `write "https://${rest}"` };
  if (isIPv6(rest)) return { problem: "must have brackets around IPv6", remedy: `write "${scheme}://[${rest}]"` };
  if (rest.includes("@")) return { problem: "must have no user", remedy: "leave out what is before @" };
  const slash = rest.indexOf("/");
  if (slash >= 0) {
    const range = isIP(rest.slice(0, slash).replace(/^\[|\]$/g, "")) !== 0 && /^\/\d+$/.test(rest.slice(slash));
    if (range) return { problem: "must be an address, not a range", remedy: "list the addresses" };
    return { problem: "must have no path", remedy: `write "${scheme}://${rest.slice(0, slash)}"` };
  }
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(rest);
  if (parts === null) return { problem: "must be a host, with a port or without", remedy: wanted };
  const port = parts[2] === undefined ? defaultPorts[scheme] : Number(parts[2]);
  if (port < 1 || port > 65_535)
    return { problem: "must have a port from 1 to 65535", remedy: "leave it out, or correct it" };
  const host = parts[1]!;
  const rule = { text, scheme, port } as const;
  if (host === "*") return { ...rule, kind: "any", host: "" };
  if (host.startsWith("*.")) {
    const suffix = host.endsWith(".") ? host.slice(2, -1) : host.slice(2);
    if (suffix.includes("*") || !isHostName(suffix) || isIP(suffix) !== 0)
      return { problem: "must have a name after *.", remedy: wanted };
    return { ...rule, kind: "suffix", host: suffix };
  }
  if (host.includes("*"))
    return { problem: "must have * as its whole first label, or alone", remedy: `write "*.${afterStar(host)}"` };
  const exact = canonicalHost(host);
  return exact === null
    ? { problem: "must be a host, with a port or without", remedy: wanted }
    : { ...rule, kind: "exact", host: exact };
}

const wanted = 'write it as "https://api.example.com", "*.example.com" or "http://10.0.0.5:8080"';

function afterStar(host: string): string {
  const dot = host.indexOf(".", host.lastIndexOf("*"));
  return dot < 0 ? host.replaceAll("*", "") : host.slice(dot + 1);
}

/** A host as it is compared: a name without a trailing dot, an address in its one form and without brackets; `null` for none. */
export function canonicalHost(host: string): string | null {
  if (host.startsWith("[")) {
    const plain = host.slice(1, -1);
    if (!host.endsWith("]") || !isIPv6(plain) || plain.includes("%")) return null;
    return new URL(`http://[${plain}]`).hostname.slice(1, -1);
  }
  if (isIPv4(host)) return host;
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  // Names that begin so are asked for SRV records, which would bring ports of their own.
  return isHostName(name) && !name.startsWith("_") ? name : null;
}
