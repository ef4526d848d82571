import { readFile } from "node:fs/promises";
import { HttpServer } from "@selvage/http2";
import {
  type AuditFile,
  type Authenticator,
  createIdentityService,
  createJoinTokenAuthenticator,
  createJwtAuthenticator,
  createKubernetesAuthenticator,
  type IdentityServer,
  type IdentityService,
  issuerPathsOf,
  openAuditFile,
  parseKeySet,
  type RunningBundleEndpoint,
  SpiffeId,
  serveBundle,
  serveIdentity,
} from "@selvage/tls-identity";
import { AdminService } from "../admin/admin-service.js";
import type { Log } from "../mesh/log.js";
import type { IdentityServiceProcessConfig } from "./identity-service-config.js";
import { serviceMetrics } from "./identity-service-metrics.js";
import { clusterApiServer, tokenReviewer } from "./token-review.js";

/** A running identity service with its admin port. */
export interface IdentityServiceProcess {
  readonly service: IdentityService;
  readonly port: number;
  /** Of the bundle endpoint; null without one. */
  readonly bundlePort: number | null;
  /** `http://host:port`; null without one. */
  readonly adminAddress: string | null;
  /** Ends both ports, finishes the audit. Idempotent. */
  close(): Promise<void>;
}

/** Starts an identity service, its gRPC port, its admin port and its audit. Rejects, and leaves nothing behind, if any can't start. */
export async function startIdentityService(
  config: IdentityServiceProcessConfig,
  log: Log,
): Promise<IdentityServiceProcess> {
  const closers: (() => unknown)[] = [];
  let closed: Promise<void> | null = null;
  const close = async () => {
    for (const one of closers.reverse()) await one();
  };
  try {
    const audit = config.audit === null ? null : openAudit(config.audit, log);
    if (audit) closers.push(() => audit.close());
    const keys = { failures: 0 };
    const keysFailed = (error: Error) => {
      keys.failures++;
      log("warn", "identity-service.keys-failed", { error });
    };
    const service = createIdentityService({
      trustDomain: config.trustDomain,
      issuer: issuerPathsOf(config.directory),
      authenticators: await authenticatorsOf(config, keysFailed),
      renewBySvid: config.renewBySvid,
      leafLifetimeMs: config.lifetimeMs,
      ...(config.rules !== null && { rules: config.rules }),
      ...(audit && { audit: audit.write }),
    });
    closers.push(() => service.close());
    closers.push(
      service.onIssuer(() => {
        const notAfter = service.issuer?.notAfter;
        log("info", "identity-service.issuer", { notAfter: notAfter && new Date(notAfter).toISOString() });
      }),
    );
    const server = await listen(config, service);
    closers.push(() => server.close());
    const bundle = await listenForBundle(config, service);
    if (bundle) closers.push(() => bundle.close());
    for (const blocker of service.status.blockers) log("warn", "identity-service.not-ready", { blocker });
    const admin = config.admin === null ? null : await openAdmin(config, config.admin, service, keys);
    if (admin) closers.push(() => admin.server.destroy());
    return {
      service,
      port: server.port,
      bundlePort: bundle?.port ?? null,
      adminAddress: admin?.address ?? null,
      close: () => {
        closed ??= close();
        return closed;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listen(config: IdentityServiceProcessConfig, service: IdentityService): Promise<IdentityServer> {
  const { host, port } = config;
  try {
    return await serveIdentity({ service, id: SpiffeId.parse(config.id), port, ...(host !== null && { host }) });
  } catch (error) {
    throw portError(error, "port", `${host ?? "*"}:${port}`);
  }
}

async function listenForBundle(
  config: IdentityServiceProcessConfig,
  service: IdentityService,
): Promise<RunningBundleEndpoint | null> {
  if (config.bundleEndpoint === null) return null;
  const { host } = config;
  const { port, web } = config.bundleEndpoint;
  try {
    const id = SpiffeId.parse(config.id);
    return await serveBundle({ service, id, port, ...(host !== null && { host }), ...(web !== null && { web }) });
  } catch (error) {
    throw portError(error, "bundleEndpoint.port", `${host ?? "*"}:${port}`);
  }
}

function portError(error: unknown, path: string, address: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall !== "listen" && syscall !== "bind") return error;
  return new Error(`${path}: can't listen on ${address} (${code}); choose another port`, { cause: error });
}

function openAudit(path: string, log: Log): AuditFile {
  return openAuditFile(path, (error) => log("error", "identity-service.audit-failed", { path, error }));
}

async function authenticatorsOf(
  config: IdentityServiceProcessConfig,
  onKeysFailure: (error: Error) => void,
): Promise<Authenticator[]> {
  const found: Authenticator[] = [createJoinTokenAuthenticator(config.joinTokens)];
  for (const { issuer, audience, keys } of config.jwt) {
    if (typeof keys === "string") await requireKeys(keys);
    const set = typeof keys === "string" ? { file: keys } : keys;
    found.push(createJwtAuthenticator({ issuer, keys: set, onKeysFailure, ...(audience !== null && { audience }) }));
  }
  // The last one: it takes every token for its own.
  if (config.kubernetes !== null) {
    const { audience } = config.kubernetes;
    const review = tokenReviewer(clusterApiServer(process.env));
    found.push(createKubernetesAuthenticator({ review, ...(audience !== null && { audience }) }));
  }
  return found;
}

/** A file that is wrong from the start is a mistake in the configuration; one that gets wrong later is not. */
async function requireKeys(path: string): Promise<void> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`jwt.keys: cannot read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  try {
    parseKeySet(text);
  } catch (cause) {
    throw new Error(`jwt.keys: ${path} is ${(cause as Error).message}`, { cause });
  }
}

async function openAdmin(
  config: IdentityServiceProcessConfig,
  where: { readonly host: string; readonly port: number },
  service: IdentityService,
  keys: { readonly failures: number },
): Promise<{ readonly server: HttpServer; readonly address: string }> {
  const server = new HttpServer({
    service: new AdminService({
      readiness: {
        get ready() {
          return service.status.blockers.length === 0;
        },
        get blockers() {
          return service.status.blockers;
        },
      },
      metrics: serviceMetrics(service, keys),
      config: () => config,
      state: () => service.status,
    }),
  });
  try {
    const { address, port } = await server.listen(where);
    return { server, address: `http://${address.includes(":") ? `[${address}]` : address}:${port}` };
  } catch (error) {
    throw portError(error, "admin.port", `${where.host}:${where.port}`);
  }
}
