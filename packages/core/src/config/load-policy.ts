import { type DocumentProblem, Policy, PolicyError } from "@selvage/policy";
import type { MeshConfig } from "./config.js";
import { ConfigError } from "./config-error.js";
import { readConfigFile } from "./config-file.js";

/**
 * The policy of inbound traffic: `inbound.policy` of the configuration, or the file that it names, read anew at each call.
 * What keeps a policy in force keeps the old one when this throws.
 *
 * @throws ConfigError with everything that is wrong, and its line in the file
 */
export function loadPolicy(config: MeshConfig, cwd: string): Policy {
  const { default: fallback, file, rules, rateLimit } = config.inbound.policy;
  if (file === null) {
    const document = { default: fallback, rules: [...rules], ...(rateLimit === null ? {} : { rateLimit }) };
    return Policy.parse(document, "inbound.policy");
  }
  const read = readConfigFile(file, cwd);
  const problems = (found: readonly DocumentProblem[]) =>
    new ConfigError(found.map((problem) => ({ ...problem, where: read.locate(problem.keys) })));
  const written = config.origins["inbound.policy.default"];
  const own = (read.value as { default?: unknown } | null)?.default;
  if (written !== undefined && own !== undefined && own !== fallback) {
    const remedy = `${written} says "${fallback}"; say it in one place`;
    const problem = "contradicts inbound.policy.default";
    throw problems([{ keys: ["default"], path: "default", value: own, problem, remedy }]);
  }
  try {
    const isObject = typeof read.value === "object" && read.value !== null && !Array.isArray(read.value);
    return Policy.parse(isObject ? { default: fallback, ...read.value } : read.value, read.path);
  } catch (error) {
    throw error instanceof PolicyError ? problems(error.problems) : error;
  }
}
