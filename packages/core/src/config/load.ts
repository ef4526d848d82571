import { checkDocument, type DocumentPath, type DocumentProblem, pathText } from "@selvage/policy";
import type { MeshConfig } from "./config.js";
import { checkConfig, configWarnings } from "./config-checks.js";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import { type ConfigFile, findConfigFile, readConfigFile } from "./config-file.js";
import { type Environment, readEnv } from "./env.js";
import { Layers } from "./layers.js";
import { loadPolicy } from "./load-policy.js";
import { loadRoutes } from "./load-routes.js";
import type { MeshOptions } from "./options.js";
import { resolveConfig } from "./resolve.js";
import { type CheckedOptions, meshSchema } from "./schema.js";

export interface LoadOptions {
  /** What the program says; wins over everything else. */
  readonly options?: MeshOptions | undefined;
  /** The file to read instead of `SELVAGE_CONFIG` or `selvage.yaml`. */
  readonly file?: string | undefined;
  /** As a rule `process.env`. Only `SELVAGE_*`, `NODE_ENV` and `SPIFFE_ENDPOINT_SOCKET` are read. */
  readonly env: Environment;
  /** As a rule `process.cwd()`. */
  readonly cwd: string;
}

/**
 * Reads the configuration: options over `SELVAGE_*` variables over the file over defaults, field by field. Lists and
 * `endpoints` are replaced as a whole; another `identity.source` drops the fields of the one that it replaces. Relative
 * paths are relative to the file that they stand in, else to `cwd`. Blocks while it reads files.
 *
 * @throws ConfigError with everything that is wrong
 */
export function loadConfig({ options, file, env, cwd }: LoadOptions): MeshConfig {
  const path = findConfigFile(file, env["SELVAGE_CONFIG"], cwd);
  const read = path === null ? null : readConfigFile(path, cwd);
  const environment = readEnv(env);
  const layers = new Layers();
  const problems: ConfigProblem[] = environment.problems.map((problem) => ({ ...problem, where: "environment" }));
  if (read !== null) addFile(layers, read, problems);
  const variable = (keys: DocumentPath) => environment.variables.get(pathText(keys)) ?? "environment";
  layers.add({ where: variable, directory: cwd, tree: environment.tree });
  addOptions(layers, options ?? {}, cwd, problems);
  // A source is only left out by who means the development authority.
  const identity = layers.tree["identity"];
  if (typeof identity === "object" && identity !== null && !("source" in identity))
    Object.assign(identity, { source: "dev" });

  const add = (problem: DocumentProblem) => problems.push(placed(problem, layers));
  for (const problem of layers.problems) add(problem);
  const checked = checkDocument<CheckedOptions>(meshSchema(), layers.tree);
  if (!checked.ok) {
    for (const problem of checked.problems) add(problem);
    throw new ConfigError(problems);
  }
  const refuse = (keys: DocumentPath, value: unknown, problem: string, remedy: string) =>
    add({ keys, path: pathText(keys), value, problem, remedy });
  const config = resolveConfig(checked.value, {
    cwd,
    production: env["NODE_ENV"] === "production",
    file: read?.path ?? null,
    origins: layers.origins(),
    spiffeSocket: env["SPIFFE_ENDPOINT_SOCKET"],
    directoryOf: (keys) => layers.origin(keys)?.directory ?? cwd,
    refuse,
  });
  readRouteFiles(config, cwd, problems);
  checkConfig(config, (keys) => layers.isSet(keys), refuse);
  checkPolicy(config, cwd, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return deepFreeze({ ...config, warnings: configWarnings(config) });
}

function addFile(layers: Layers, read: ConfigFile, problems: ConfigProblem[]): void {
  const { value } = read;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    layers.add({ where: read.locate, directory: read.directory, tree: value as Record<string, unknown> });
  } else {
    problems.push({ keys: [], path: "", where: read.locate([]), value, problem: "must be an object", remedy: "" });
  }
}

function addOptions(layers: Layers, options: unknown, cwd: string, problems: ConfigProblem[]): void {
  if (typeof options === "object" && options !== null && !Array.isArray(options)) {
    layers.add({ where: () => "options", directory: cwd, tree: options as Record<string, unknown> });
  } else {
    problems.push({ keys: [], path: "", where: "options", value: options, problem: "must be an object", remedy: "" });
  }
}

/** A problem with the place where the field was set. Secrets are not shown. */
function placed(problem: DocumentProblem, layers: Layers): ConfigProblem {
  const { keys } = problem;
  const where = layers.origin(keys)?.where(keys) ?? "configuration";
  const value = problem.value;
  const mayHold = keys[1] === "token" || keys[1] === "key" || typeof value === "object";
  const secret = keys[0] === "identity" && mayHold && value !== undefined;
  return { ...problem, where, value: secret ? "[redacted]" : value };
}

/** Routes that are in files. They are read again when they change; what is here is in force until then. */
function readRouteFiles(config: MeshConfig, cwd: string, problems: ConfigProblem[]): void {
  const bad = new Set<string>();
  for (const settings of [config.outbound.defaults, ...Object.values(config.outbound.services)]) {
    if (settings.routesFile === null || bad.has(settings.routesFile)) continue;
    try {
      const routes = loadRoutes(settings.routesFile, settings, config, cwd);
      Object.assign(settings, { routes });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      bad.add(settings.routesFile);
      problems.push(...error.problems);
    }
  }
}

/** The policy is read again by what enforces it; here it is only to show what is wrong together with everything else. */
function checkPolicy(config: MeshConfig, cwd: string, problems: ConfigProblem[]): void {
  try {
    loadPolicy(config, cwd);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
