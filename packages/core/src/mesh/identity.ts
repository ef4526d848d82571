import { readFileSync } from "node:fs";
import {
  createCaSource,
  createDevSource,
  createFilesSource,
  createSpiffeSource,
  type IdentitySource,
  parseBundle,
  SpiffeId,
  withFederation,
} from "@selvage/tls-identity";
import type { FederationEndpointConfig, MeshConfig } from "../config/config.js";
import type { Log } from "./log.js";

/** How long a workload waits for its first identity before its start fails with the reason. */
const patienceMs = 30_000;

/** Opens the identity source that the configuration names, and waits for the first identity. */
export async function openIdentity(config: MeshConfig, stateDir: string, log: Log): Promise<IdentitySource> {
  const source = sourceOf(config, stateDir);
  let last: Error | null = null;
  const forget = source.onFailure((error) => {
    last = error;
    log("warn", "identity.failed", { source: config.identity.source, error });
  });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `identity.source ${config.identity.source}: no identity within ${patienceMs / 1000} s`;
      reject(new Error(last === null ? text : `${text}: ${last.message}`, { cause: last }));
    }, patienceMs);
  });
  try {
    await Promise.race([source.ready(), timeout]);
    return source;
  } catch (error) {
    source.close();
    throw error;
  } finally {
    clearTimeout(timer);
    forget();
  }
}

function sourceOf(config: MeshConfig, stateDir: string): IdentitySource {
  const { identity, workload, production } = config;
  const id = SpiffeId.parse(workload.id);
  switch (identity.source) {
    case "dev":
      return createDevSource({ stateDir, id, lifetimeMs: identity.lifetimeMs, production });
    case "files": {
      const { cert, key, bundle, federated } = identity;
      return federating(createFilesSource({ cert, key, bundle, federated, production }), identity.federation);
    }
    case "spiffe": {
      const { socket, id: wanted, hint } = identity;
      const choice = { ...(wanted !== null && { id: SpiffeId.parse(wanted) }), ...(hint !== null && { hint }) };
      return createSpiffeSource({ socket, ...choice });
    }
    case "ca": {
      const { address, token, bundle, serverId, federated } = identity;
      const source = createCaSource({ address, id, serverId: SpiffeId.parse(serverId), token, bundle, federated });
      return federating(source, identity.federation);
    }
  }
}

function federating(source: IdentitySource, federation: readonly FederationEndpointConfig[]): IdentitySource {
  if (federation.length === 0) return source;
  const relations = federation.map(({ trustDomain, url, spiffe }) => {
    if (spiffe === null) return { trustDomain, url, profile: "https_web" as const };
    const bundle = parseBundle(trustDomain, readFileSync(spiffe.bundle, "utf8"));
    return { trustDomain, url, profile: "https_spiffe" as const, endpointId: SpiffeId.parse(spiffe.id), bundle };
  });
  return withFederation(source, { relations });
}
