import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { MeshConfig } from "../config/config.js";
import { ConfigError } from "../config/config-error.js";

/** Sees to it that `outbound.egress.caFile` is found wrong at start, not with the first call. @throws ConfigError */
export function checkCaFile({ outbound, origins }: MeshConfig): void {
  const { caFile } = outbound.egress;
  if (caFile === null) return;
  let problem = "must have a certificate in PEM";
  try {
    const text = readFileSync(caFile, "utf8");
    new X509Certificate(text);
    return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && /^E[A-Z]+$/.test(code)) problem = `can't be read (${code})`;
  }
  const path = "outbound.egress.caFile";
  const remedy = "name a file of roots, or leave it out";
  const where = origins[path] ?? "options";
  throw new ConfigError([{ where, keys: ["outbound", "egress", "caFile"], path, value: caFile, problem, remedy }]);
}
