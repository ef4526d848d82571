import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { HttpServer, type Service } from "@selvage/http2";
import type { IdentitySource } from "@selvage/tls-identity";
import { AdminService } from "../admin/admin-service.js";
import { Readiness } from "../admin/readiness.js";
import type { MeshConfig } from "../config/config.js";
import { mayInjectFaults } from "../config/config-checks.js";
import { loadConfig } from "../config/load.js";
import type { MeshOptions } from "../config/options.js";
import { redactConfig } from "../config/redact.js";
import { checkCaFile } from "../egress/check-ca-file.js";
import { EgressTargets } from "../egress/egress-targets.js";
import { EgressTransports } from "../egress/egress-transports.js";
import { LocalRegistry, type Registration } from "../registry/local-registry.js";
import { AdaptiveLimit } from "../resilience/adaptive-limit.js";
import { systemClock } from "../runtime/clock.js";
import { ProcessHold } from "../runtime/process-hold.js";
import { systemRandom } from "../runtime/random.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { inboundStack } from "../stack/inbound.js";
import { endpointStack, outboundStack } from "../stack/outbound.js";
import { TargetTable } from "../target/target-table.js";
import { IdleSweep } from "../telemetry/idle-sweep.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { Registry } from "../telemetry/registry.js";
import { EndpointTransports } from "../transport/endpoint-transports.js";
import { type CallQuestion, type Explanation, explainCall, readQuestion } from "./explain.js";
import { openIdentity } from "./identity.js";
import { IdentityMetrics } from "./identity-metrics.js";
import { type Log, stderrLog } from "./log.js";
import { createMeshPort } from "./mesh-port.js";
import type { PolicyAuthorizer } from "./policy-authorizer.js";
import { openPolicy } from "./policy-source.js";
import { RefusedPeers } from "./refused-peers.js";
import { defaultStateDir } from "./state-dir.js";
import { createTargetSource, explainUnknown, isOutside } from "./target-source.js";

export interface RuntimeOptions {
  /** Over the environment and the file. */
  readonly options?: MeshOptions;
  /** @defaultValue `SELVAGE_CONFIG`, or `selvage.yaml` in the working directory */
  readonly file?: string;
  /** @defaultValue warnings and errors, to standard error */
  readonly log?: Log;
}

/** A port of the mesh that is served by this workload. */
export interface ServedPort {
  readonly server: HttpServer;
  /** Tells others, through the local registry, that this workload serves there. Once; does nothing without a registry. */
  announce(address?: string): void;
  /** Takes that back. */
  withdraw(): void;
}

interface OpenPort {
  readonly server: HttpServer;
  readonly stopAccepting: () => void;
  close(): void;
}

/**
 * What the library and the shim have in common: configuration, identity, the two stacks, the admin port, and the order in
 * which all of it starts and ends. Entries and exits are added by whoever assembles it.
 */
export class MeshRuntime {
  readonly config: MeshConfig;
  readonly identity: IdentitySource;
  readonly readiness = new Readiness();
  readonly metrics = new MeshMetrics(new Registry());
  readonly log: Log;
  /** The way out: what every outbound entry calls. Takes exchanges of the class `MeshExchange`. */
  readonly outbound: Service;
  readonly onProtection = (reason: string): void => this.metrics.protections.with(reason).increment();
  readonly #registry: LocalRegistry | null;
  readonly #targets: TargetTable;
  readonly #refusedPeers: RefusedPeers;
  readonly #transports: EndpointTransports;
  readonly #egress: EgressTransports;
  readonly #authorizer: PolicyAuthorizer;
  /** One for all ports: they share the event loop. */
  readonly #adaptiveLimit: AdaptiveLimit | null;
  readonly #wheel: TimerWheel;
  readonly #ports: OpenPort[] = [];
  readonly #registrations = new Set<Registration>();
  readonly #closers: (() => void)[] = [];
  #admin: HttpServer | null = null;
  #adminAddress: string | null = null;
  #drained: Promise<void> | null = null;
  #drainEndsAt = Number.POSITIVE_INFINITY;
  #closed: Promise<void> | null = null;

  private constructor(
    config: MeshConfig,
    identity: IdentitySource,
    registry: LocalRegistry | null,
    policy: ReturnType<typeof openPolicy>,
    log: Log,
  ) {
    this.config = config;
    this.identity = identity;
    this.log = log;
    this.#registry = registry;
    this.#authorizer = policy.authorizer;
    this.#closers.push(() => policy.close());
    const limit = config.inbound.adaptiveLimit;
    const adaptive = limit === null ? null : new AdaptiveLimit(limit, systemRandom);
    if (adaptive !== null) this.metrics.concurrencyLimit.observe([], () => adaptive.limit);
    this.#adaptiveLimit = adaptive;
    const clock = systemClock;
    const random = systemRandom;
    const { metrics } = this;
    this.#wheel = new TimerWheel(clock);
    this.#refusedPeers = new RefusedPeers(this.onProtection, log, clock);
    this.#transports = new EndpointTransports({
      identity,
      onProtection: this.onProtection,
      onRefusedPeer: (reason, address) => this.#refusedPeers.refuse(reason, "outbound", address),
    });
    this.#egress = new EgressTransports(config.outbound.egress, this.onProtection);
    const source = createTargetSource({
      config,
      registry,
      factory: (settings) => this.#transports.factory(settings.connectTimeoutMs),
      egress: new EgressTargets({ config, transports: this.#egress, log, onProtection: this.onProtection }),
      log,
    });
    this.#targets = new TargetTable(
      source,
      {
        clock,
        wheel: this.#wheel,
        random,
        factory: this.#transports.factory(config.outbound.defaults.connectTimeoutMs),
        wrap: endpointStack(clock),
        metrics,
      },
      {
        explainUnknown: (authority) => explainUnknown(config, registry, authority),
        isOutside: (authority, scheme) => isOutside(config, registry, authority, scheme),
      },
    );
    this.outbound = outboundStack({
      clock,
      wheel: this.#wheel,
      random,
      metrics,
      targets: this.#targets,
      hold: new ProcessHold(),
      maxInFlight: config.outbound.maxInFlight,
      faults: mayInjectFaults(config),
      ...(config.telemetry.traces ? {} : { trace: null }),
    });
    this.#closers.push(new IdentityMetrics(metrics.registry, identity, clock, log).close);
    const sweep = new IdleSweep(metrics.registry, clock, this.#wheel);
    this.#closers.push(() => sweep.close());
  }

  /** Reads the configuration, gets an identity, and opens the admin port. Rejects when the workload can't get an identity. */
  static async start({ options, file, log = stderrLog() }: RuntimeOptions = {}): Promise<MeshRuntime> {
    const config = loadConfig({
      ...(options && { options }),
      ...(file !== undefined && { file }),
      env: process.env,
      cwd: process.cwd(),
    });
    for (const warning of config.warnings) log("warn", "config.warning", { warning });
    checkCaFile(config);
    const stateDir = config.stateDir ?? defaultStateDir(process.cwd());
    const policy = openPolicy(config, process.cwd(), log);
    const identity = await openIdentity(config, stateDir, log);
    const registry =
      config.identity.source === "dev"
        ? new LocalRegistry({
            directory: join(stateDir, "registry"),
            onProblem: (problem) => log("warn", "registry.bad-entry", { problem }),
          })
        : null;
    const runtime = new MeshRuntime(config, identity, registry, policy, log);
    try {
      await runtime.#openAdmin();
    } catch (error) {
      await runtime.close();
      throw error;
    }
    return runtime;
  }

  /** Who this workload is: what its SVID says, whatever the configuration calls it. */
  get id(): string {
    return this.identity.current?.id.toString() ?? this.config.workload.id;
  }

  /** Where the admin port can be reached, `http://host:port`; null without one. */
  get adminAddress(): string | null {
    return this.#adminAddress;
  }

  /** Puts the inbound layers around an exit. */
  inbound(exit: Service): Service {
    const { config, metrics } = this;
    return inboundStack(
      {
        clock: systemClock,
        metrics,
        serverAddress: `${config.workload.name}.${config.workload.namespace}`,
        authorizer: this.#authorizer,
        limiter: this.#authorizer,
        maxInFlight: config.inbound.maxInFlight,
        adaptiveLimit: this.#adaptiveLimit,
        probePaths: config.inbound.probes.paths,
        ...(config.telemetry.traces ? {} : { trace: null }),
      },
      exit,
    );
  }

  /**
   * A port of the mesh in front of an exit, which somebody else listens for: sockets go to `server.accept`, and
   * `stopAccepting` is called when this workload drains.
   */
  port(exit: Service, stopAccepting: () => void = () => {}): ServedPort {
    const port = createMeshPort({
      identity: this.identity,
      service: this.inbound(exit),
      plaintext: this.config.inbound.plaintext === "allow",
      onProtection: this.onProtection,
      onRefusedPeer: (reason, address) => this.#refusedPeers.refuse(reason, "inbound", address),
    });
    this.#ports.push({ server: port.server, stopAccepting, close: port.close });
    let registration: Registration | null = null;
    return {
      server: port.server,
      announce: (address) => {
        const where = this.config.inbound.advertise === null ? address : hostPort(this.config.inbound.advertise);
        if (registration !== null || this.#registry === null || where === undefined || this.#drained !== null) return;
        const { name, namespace } = this.config.workload;
        registration = this.#registry.register(`${name}.${namespace}`, where, this.id);
        this.#registrations.add(registration);
      },
      withdraw: () => {
        if (registration === null) return;
        registration.remove();
        this.#registrations.delete(registration);
        registration = null;
      },
    };
  }

  /** The same, listening where the configuration says. */
  async openPort(exit: Service): Promise<ServedPort & { readonly address: AddressInfo }> {
    const port = this.port(exit);
    const { host, port: number } = this.config.inbound;
    const bound = await this.listen(port.server, host, number, "inbound.port");
    return { ...port, address: bound, announce: (address = reachable(bound)) => port.announce(address) };
  }

  /**
   * Listens on a port of the configuration. In development a default port that is taken is no reason to fail: another
   * workload on this machine has it, and a free one serves as well.
   */
  async listen(server: HttpServer, host: string, port: number, path: string): Promise<AddressInfo> {
    try {
      return await server.listen({ host, port });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EADDRINUSE" && this.config.identity.source === "dev" && !(path in this.config.origins)) {
        return server.listen({ host, port: 0 });
      }
      throw new Error(`${path}: can't listen on ${hostPort({ host, port })} (${code}); choose another port`, {
        cause: error,
      });
    }
  }

  /** What `/state` shows. */
  describe(): unknown {
    return {
      workload: this.config.workload,
      identity: this.id,
      inbound: this.#ports.map(({ server }) => ({ connections: server.connections, active: server.active })),
      ...(this.#adaptiveLimit && { adaptiveLimit: this.#adaptiveLimit.describe() }),
      targets: this.#targets.describe(),
    };
  }

  /** Whether an authority that CONNECT asks for is a service of the mesh: then what goes through the tunnel is for us. */
  isService(authority: string): boolean {
    const target = this.#targets.find(authority, "connect");
    return target !== null && !target.outside;
  }

  /** What would happen to a call now; `/explain` shows it. Throws a TypeError for what isn't a URL. */
  explain(question: CallQuestion): Explanation {
    return explainCall(question, this.#targets);
  }

  /**
   * Takes nothing new from others and finishes what is in flight, in this order: not ready and out of the registry, wait
   * `drain.delay`, stop accepting, GOAWAY and `Connection: close`, cut what is left after `drain.timeout`. Outbound goes on.
   */
  drainInbound(): Promise<void> {
    this.#drained ??= this.#drainInbound();
    return this.#drained;
  }

  /** What is left of `drain.timeout`, which is one for all that is finished before the end: of others, then of this workload. */
  get drainLeftMs(): number {
    return Math.max(0, this.#drainEndsAt - systemClock.now());
  }

  /** Drains, then ends outbound, the admin port and the identity source. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #drainInbound(): Promise<void> {
    this.readiness.block("draining");
    for (const registration of this.#registrations) registration.remove();
    const { delayMs, timeoutMs } = this.config.drain;
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    this.#drainEndsAt = systemClock.now() + timeoutMs;
    for (const port of this.#ports) port.stopAccepting();
    await Promise.all(this.#ports.map(({ server }) => server.close(timeoutMs)));
    for (const port of this.#ports) port.close();
  }

  async #close(): Promise<void> {
    await this.drainInbound();
    this.#targets.close();
    const cut = setTimeout(() => {
      this.#transports.destroy();
      this.#egress.destroy();
    }, this.drainLeftMs);
    await Promise.all([this.#transports.close(), this.#egress.close()]);
    clearTimeout(cut);
    this.#admin?.destroy();
    for (const close of this.#closers) close();
    this.#registry?.close();
    this.identity.close();
  }

  async #openAdmin(): Promise<void> {
    const { admin } = this.config;
    if (admin === null) return;
    this.#admin = new HttpServer({
      service: new AdminService({
        readiness: this.readiness,
        metrics: () => renderPrometheus(this.metrics.registry),
        config: () => redactConfig(this.config),
        state: () => this.describe(),
        explain: (question) => this.explain(readQuestion(question)),
      }),
    });
    const bound = await this.listen(this.#admin, admin.host, admin.port, "admin.port");
    // Somebody who may look at a program is no reason for it to go on.
    this.#admin.unref();
    this.#adminAddress = `http://${reachable(bound)}`;
  }
}

function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Where somebody on this machine reaches what listens there. */
export function reachable({ address, port }: AddressInfo): string {
  if (address === "0.0.0.0" || address === "::" || address === "") return `127.0.0.1:${port}`;
  return hostPort({ host: address, port });
}
