import type { MeshConfig } from "./config.js";

/** The configuration as it may be shown: tokens are left out, paths of keys and tokens stay. */
export function redactConfig(config: MeshConfig): MeshConfig {
  const { identity } = config;
  if (identity.source !== "ca" || "file" in identity.token) return config;
  return { ...config, identity: { ...identity, token: { value: "[redacted]" } } };
}
