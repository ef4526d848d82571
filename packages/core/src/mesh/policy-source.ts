import { readFileSync } from "node:fs";
import { Policy } from "@selvage/policy";
import { parse as parseYaml } from "yaml";
import type { InboundConfig } from "../config/config.js";
import { watchFile } from "./file-watch.js";
import type { Log } from "./log.js";
import { PolicyAuthorizer } from "./policy-authorizer.js";

/**
 * Inbound policy from the configuration or its own file. A file is read again when it changes; one that can't be used leaves
 * the last good policy in force, and is reported with its path, the place in it, and the remedy. At the start it is an error.
 */
export function openPolicy(inbound: InboundConfig, log: Log): { readonly authorizer: PolicyAuthorizer; close(): void } {
  const { file, rules, rateLimit } = inbound.policy;
  const read = (): Policy => {
    if (file === null) {
      const document = { default: inbound.policy.default, rules, ...(rateLimit !== null && { rateLimit }) };
      return Policy.parse(document, "inbound.policy");
    }
    return Policy.parse(readDocument(file, inbound.policy.default), file);
  };
  const policy = read();
  warn(policy, file, log);
  const authorizer = new PolicyAuthorizer(policy, inbound.probes.paths);
  if (file === null) return { authorizer, close() {} };
  return {
    authorizer,
    close: watchFile(file, () => {
      try {
        const next = read();
        authorizer.replace(next);
        warn(next, file, log);
        log("info", "policy.reloaded", { file });
      } catch (error) {
        log("error", "policy.rejected", { file, error, inForce: "the last good policy" });
      }
    }).close,
  };
}

/** A document that names no default has the one of `inbound.policy.default`. */
function readDocument(file: string, fallback: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`${file}: can't be read (${(error as NodeJS.ErrnoException).code}); inbound.policy.file names it`, { cause: error });
  }
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
  if (typeof document !== "object" || document === null || Array.isArray(document) || "default" in document) return document;
  return { default: fallback, ...document };
}

function warn(policy: Policy, file: string | null, log: Log): void {
  for (const warning of policy.warnings) log("warn", "policy.warning", { file: file ?? "inbound.policy", warning });
}
