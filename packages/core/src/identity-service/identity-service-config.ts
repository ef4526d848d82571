import { resolve } from "node:path";
import { checkDocument, type DocumentPath, type DocumentProblem } from "@selvage/policy";
import { readTrustDomain } from "@selvage/tls-identity";
import { ConfigError } from "../config/config-error.js";
import { readConfigFile } from "../config/config-file.js";
import { Layers } from "../config/layers.js";
import { type CheckedServiceOptions, identityServiceSchema } from "./identity-service-schema.js";

/** An issuer of JWTs, and whom they are meant for. */
export interface JwtIssuerOptions {
  /** The only `iss` to believe. */
  readonly issuer: string;
  /** @defaultValue `identity.l5d.io` */
  readonly audience?: string;
  /** Path of a JWK Set, or the https URL of one. */
  readonly keys: string;
}

/** How `selvage identity serve` runs, as it is written in its file. Paths are relative to the file, or to the working directory. */
export interface IdentityServiceProcessOptions {
  /** Of the authority, as `selvage identity init` makes it. */
  readonly directory?: string;
  /** @defaultValue that of the root in `directory` */
  readonly trustDomain?: string;
  /** What the service is to its callers: their `identity.serverId`. @defaultValue `spiffe://<trustDomain>/ns/selvage/sa/identity` */
  readonly id?: string;
  /** @defaultValue all addresses */
  readonly host?: string;
  /** @defaultValue 8080 */
  readonly port?: number;
  /** File with the rules by which JWTs and service accounts get ids. @defaultValue none */
  readonly rules?: string;
  readonly jwt?: readonly JwtIssuerOptions[];
  /** Directory of join tokens. @defaultValue `join-tokens` in `directory` */
  readonly joinTokens?: string;
  /** Ask the Kubernetes API of this cluster about service-account tokens. @defaultValue false */
  readonly kubernetes?: boolean | { readonly audience?: string };
  /** Whether workloads renew by their SVID; join tokens, which serve once, need it. @defaultValue true */
  readonly renewBySvid?: boolean;
  /** Of leaves. @defaultValue 24h */
  readonly lifetime?: number | string;
  /** File that gets a line of JSON for each decision. @defaultValue none */
  readonly audit?: string;
  /**
   * Where other trust domains fetch the bundle: `https://host:port/bundle`. With certificate and key of the public web (PEM files) it is an
   * `https_web` endpoint, without them an `https_spiffe` one, whose id is `id`. @defaultValue none
   */
  readonly bundleEndpoint?: { readonly port: number; readonly cert?: string; readonly key?: string };
  /** `/live`, `/ready`, `/metrics`. @defaultValue 127.0.0.1:4192; false: none */
  readonly admin?: false | { readonly host?: string; readonly port?: number };
}

/** {@link IdentityServiceProcessOptions}, complete; paths are absolute. */
export interface IdentityServiceProcessConfig {
  readonly directory: string;
  readonly trustDomain: string;
  readonly id: string;
  readonly host: string | null;
  readonly port: number;
  readonly rules: string | null;
  readonly jwt: readonly { readonly issuer: string; readonly audience: string | null; readonly keys: string | URL }[];
  readonly joinTokens: string;
  readonly kubernetes: { readonly audience: string | null } | null;
  readonly renewBySvid: boolean;
  readonly lifetimeMs: number;
  readonly audit: string | null;
  readonly bundleEndpoint: {
    readonly port: number;
    readonly web: { readonly cert: string; readonly key: string } | null;
  } | null;
  readonly admin: { readonly host: string; readonly port: number } | null;
}

export const identityServiceProcessDefaults = Object.freeze({
  port: 8080,
  renewBySvid: true,
  lifetimeMs: 86_400_000,
  joinTokens: "join-tokens",
  adminHost: "127.0.0.1",
  adminPort: 4192,
});

/**
 * Options over a YAML file over defaults.
 *
 * @throws ConfigError with everything that is wrong; IdentityError if the directory holds no authority
 */
export async function loadIdentityServiceConfig(
  options: IdentityServiceProcessOptions,
  file: string | null,
  cwd: string,
): Promise<IdentityServiceProcessConfig> {
  const layers = new Layers();
  const read = file === null ? null : readConfigFile(file, cwd);
  const isObject = typeof read?.value === "object" && read.value !== null && !Array.isArray(read.value);
  if (read !== null && !isObject) {
    const where = read.locate([]);
    throw new ConfigError([{ keys: [], path: "", where, value: read.value, problem: "must be an object", remedy: "" }]);
  }
  if (read !== null)
    layers.add({ where: read.locate, directory: read.directory, tree: read.value as Record<string, unknown> });
  layers.add({ where: () => "options", directory: cwd, tree: options as Record<string, unknown> });
  const placed = (problem: DocumentProblem) => ({
    ...problem,
    where: layers.origin(problem.keys)?.where(problem.keys) ?? file ?? "options",
  });
  const checked = checkDocument<CheckedServiceOptions>(identityServiceSchema(), layers.tree);
  if (!checked.ok) throw new ConfigError([...layers.problems, ...checked.problems].map(placed));
  if (layers.problems.length > 0) throw new ConfigError(layers.problems.map(placed));
  const absolute = (keys: DocumentPath, path: string) => resolve(layers.origin(keys)?.directory ?? cwd, path);
  return resolveServiceConfig(checked.value, absolute);
}

async function resolveServiceConfig(
  given: CheckedServiceOptions,
  absolute: (keys: DocumentPath, path: string) => string,
): Promise<IdentityServiceProcessConfig> {
  const defaults = identityServiceProcessDefaults;
  const directory = absolute(["directory"], given.directory);
  const trustDomain = given.trustDomain ?? (await readTrustDomain(directory));
  const { admin, kubernetes } = given;
  return Object.freeze({
    directory,
    trustDomain,
    id: given.id ?? `spiffe://${trustDomain}/ns/selvage/sa/identity`,
    host: given.host ?? null,
    port: given.port ?? defaults.port,
    rules: given.rules === undefined ? null : absolute(["rules"], given.rules),
    jwt: (given.jwt ?? []).map(({ issuer, audience, keys }) => ({
      issuer,
      audience: audience ?? null,
      keys: keys.startsWith("https://") ? new URL(keys) : absolute(["jwt"], keys),
    })),
    joinTokens:
      given.joinTokens === undefined
        ? resolve(directory, defaults.joinTokens)
        : absolute(["joinTokens"], given.joinTokens),
    kubernetes: !kubernetes ? null : { audience: kubernetes === true ? null : (kubernetes.audience ?? null) },
    renewBySvid: given.renewBySvid ?? defaults.renewBySvid,
    lifetimeMs: given.lifetime ?? defaults.lifetimeMs,
    audit: given.audit === undefined ? null : absolute(["audit"], given.audit),
    bundleEndpoint: resolveBundleEndpoint(given.bundleEndpoint, absolute),
    admin:
      admin === false ? null : { host: admin?.host ?? defaults.adminHost, port: admin?.port ?? defaults.adminPort },
  });
}

function resolveBundleEndpoint(
  given: CheckedServiceOptions["bundleEndpoint"],
  absolute: (keys: DocumentPath, path: string) => string,
): IdentityServiceProcessConfig["bundleEndpoint"] {
  if (given === undefined) return null;
  const { port, cert, key } = given;
  if (cert === undefined || key === undefined) return { port, web: null };
  return {
    port,
    web: { cert: absolute(["bundleEndpoint", "cert"], cert), key: absolute(["bundleEndpoint", "key"], key) },
  };
}
