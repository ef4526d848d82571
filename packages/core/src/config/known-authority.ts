import type { MeshConfig } from "./config.js";

/**
 * What a name may stand for, in the order in which it is looked for: a name without a dot is one of this workload's own
 * namespace; a port in the name is looked for as written first, then ignored.
 */
export function authorityCandidates(name: string, namespace: string): string[] {
  const host = /^(.*):\d+$/.exec(name)?.[1] ?? name;
  const qualified = host.includes(".") ? host : `${host}.${namespace}`;
  return [...new Set([name, host, qualified])].filter((one) => one !== "");
}

/** An address can't appear in the registry: it is a plain one, outside the mesh. */
export function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes("[") || /^localhost(\.|$)/.test(host);
}

/** Whether an authority may be found: it is configured, or may appear in the registry of this machine. */
export function mayBeKnown(config: Pick<MeshConfig, "outbound" | "workload" | "identity">, name: string): boolean {
  const candidates = authorityCandidates(name, config.workload.namespace);
  if (candidates.some((one) => Object.hasOwn(config.outbound.services, one))) return true;
  return config.identity.source === "dev" && !isAddress(candidates.at(-1) ?? "");
}
