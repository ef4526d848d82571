import {
  type IdentityServiceProcessOptions,
  loadIdentityServiceConfig,
  startIdentityService,
  stderrLog,
} from "@selvage/core/spi";

/** As commander reads them. */
export interface ServeFlags {
  readonly config?: string;
  readonly directory?: string;
  readonly trustDomain?: string;
  readonly id?: string;
  readonly host?: string;
  readonly port?: number;
  readonly rules?: string;
  readonly jwks?: string;
  readonly issuer?: string;
  readonly audience?: string;
  readonly joinTokens?: string;
  readonly kubernetes?: true;
  readonly renewBySvid: boolean;
  readonly lifetime?: string;
  readonly audit?: string;
  readonly bundlePort?: number;
  readonly bundleCert?: string;
  readonly bundleKey?: string;
  readonly adminPort?: number;
  readonly admin: boolean;
}

/** `selvage identity serve`. Returns when the service serves; SIGTERM and SIGINT end it. */
export async function serve(flags: ServeFlags): Promise<void> {
  const config = await loadIdentityServiceConfig(optionsOf(flags), flags.config ?? null, process.cwd());
  const running = await startIdentityService(config, stderrLog("info"));
  process.stderr.write(
    `selvage: the identity service of ${config.trustDomain} serves on port ${running.port} as ${config.id}${running.bundlePort === null ? "" : `, and its bundle on port ${running.bundlePort}`}; admin ${running.adminAddress ?? "off"}\n`,
  );
  const stop = () => {
    for (const signal of signals) process.off(signal, stop);
    void running.close();
  };
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) process.on(signal, stop);
}

function optionsOf(flags: ServeFlags): IdentityServiceProcessOptions {
  const { config, jwks, issuer, audience, adminPort, admin, renewBySvid, directory, kubernetes, ...others } = flags;
  const { bundlePort, bundleCert, bundleKey, ...same } = others;
  if (bundlePort === undefined && (bundleCert ?? bundleKey) !== undefined)
    throw new Error("--bundle-cert and --bundle-key are for a bundle endpoint: give its --bundle-port, too");
  if ((jwks === undefined) !== (issuer === undefined) || (audience !== undefined && jwks === undefined))
    throw new Error(
      "--jwks, --issuer and --audience belong together: keys without an issuer, or an issuer without keys, prove nothing",
    );
  const where = directory ?? (config === undefined ? "authority" : undefined);
  return {
    ...same,
    ...(where !== undefined && { directory: where }),
    ...(kubernetes && { kubernetes }),
    ...(bundlePort !== undefined && {
      bundleEndpoint: {
        port: bundlePort,
        ...(bundleCert !== undefined && { cert: bundleCert }),
        ...(bundleKey !== undefined && { key: bundleKey }),
      },
    }),
    ...(jwks !== undefined && issuer !== undefined && { jwt: [{ issuer, keys: jwks, ...(audience && { audience }) }] }),
    ...(!renewBySvid && { renewBySvid }),
    ...(!admin && { admin: false }),
    ...(admin && adminPort !== undefined && { admin: { port: adminPort } }),
  };
}
