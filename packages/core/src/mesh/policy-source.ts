import type { Policy } from "@selvage/policy";
import type { MeshConfig } from "../config/config.js";
import { loadPolicy } from "../config/load-policy.js";
import { watchFile } from "./file-watch.js";
import type { Log } from "./log.js";
import { PolicyAuthorizer } from "./policy-authorizer.js";

/**
 * Inbound policy from the configuration or its own file. A file is read again when it changes; one that can't be used leaves
 * the last good policy in force, and is reported with its path, the place in it, and the remedy. At the start it is an error.
 */
export function openPolicy(
  config: MeshConfig,
  cwd: string,
  log: Log,
): { readonly authorizer: PolicyAuthorizer; close(): void } {
  const { policy, probes } = config.inbound;
  const { file } = policy;
  const first = loadPolicy(config, cwd);
  warn(first, file, log);
  const authorizer = new PolicyAuthorizer(first, probes.paths);
  if (file === null) return { authorizer, close() {} };
  const watch = watchFile(file, () => {
    try {
      const next = loadPolicy(config, cwd);
      authorizer.replace(next);
      warn(next, file, log);
      log("info", "policy.reloaded", { file });
    } catch (error) {
      log("error", "policy.rejected", { file, error, inForce: "the last good policy" });
    }
  });
  return { authorizer, close: () => watch.close() };
}

function warn(policy: Policy, file: string | null, log: Log): void {
  for (const warning of policy.warnings) log("warn", "policy.warning", { in: file ?? "inbound.policy", warning });
}
