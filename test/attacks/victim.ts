import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createMesh, type Mesh } from "@selvage/core";
import { type MeshOptions, MeshRuntime } from "@selvage/core/spi";
import { type Shim, startShim } from "@selvage/proxy-shim";
import { clientTlsOptions, SpiffeId } from "@selvage/tls-identity";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** What is left on the heap and beside it, after everything that can go has gone. */
export async function liveBytes(): Promise<number> {
  for (let turn = 0; turn < 4; turn += 1) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** How an attacker reaches the port: as anybody, or as a workload of the mesh that went bad. */
export const ways = ["cleartext", "mutual TLS"] as const;
export type Way = (typeof ways)[number];
/** What stands behind the port: an app in the same process, or the shim and an app on loopback. */
export const forms = ["library", "shim"] as const;
export type Form = (typeof forms)[number];

export const authority = "victim.test";
const victimId = "spiffe://dev.selvage/ns/test/sa/victim";

export interface VictimOptions {
  readonly form?: Form;
  /** Instead of the one that knows /hold, /big and /upload. */
  readonly app?: RequestListener;
  readonly inbound?: MeshOptions["inbound"];
  /** Further authorities that the neighbour's mesh can call. */
  readonly services?: NonNullable<MeshOptions["outbound"]>["services"];
}

/** A workload under attack, behind a whole mesh port, and a neighbour that goes on calling it. */
export class Victim {
  readonly port: number;
  /** The mesh of the neighbour, who means no harm. */
  readonly caller: Mesh;
  /** Handlers of the app that run now, and the most that ever did. */
  running = 0;
  most = 0;
  started = 0;
  readonly #attacker: MeshRuntime;
  readonly #sockets = new Set<Socket>();
  readonly #metrics: () => string;
  readonly #stops: (() => Promise<unknown>)[];

  private constructor(
    port: number,
    caller: Mesh,
    attacker: MeshRuntime,
    metrics: () => string,
    stops: (() => Promise<unknown>)[],
  ) {
    this.port = port;
    this.caller = caller;
    this.#attacker = attacker;
    this.#metrics = metrics;
    this.#stops = stops;
  }

  static async start({ form = "library", app, inbound, services }: VictimOptions = {}): Promise<Victim> {
    const stateDir = mkdtempSync(join(tmpdir(), "attacks-"));
    const stops: (() => Promise<unknown>)[] = [async () => rmSync(stateDir, { recursive: true, force: true })];
    const common: MeshOptions = {
      stateDir,
      identity: { source: "dev" },
      admin: false,
      drain: { timeout: "100ms" },
    };
    const options: MeshOptions = {
      ...common,
      workload: { name: "victim", namespace: "test" },
      inbound: { host: "127.0.0.1", port: 0, policy: { default: "all-unauthenticated" }, ...inbound },
    };
    let victim: Victim;
    const counted: RequestListener = (req, res) => victim.#count(req, res, app ?? holding);
    let port: number;
    let metrics: () => string;
    if (form === "library") {
      const mesh = await createMesh(options);
      port = await listen(mesh.createServer(counted));
      metrics = () => mesh.metrics();
      stops.push(() => mesh.close());
    } else {
      const server = createServer({ requestTimeout: 0 }, counted);
      const behind = inbound?.app ?? `127.0.0.1:${await listen(server)}`;
      const shim: Shim = await startShim({
        options: { ...options, inbound: { ...options.inbound, app: behind }, outbound: { port: 0 } },
        announce: false,
      });
      port = shim.inboundAddress!.port;
      const { renderPrometheus } = await import("@selvage/core/spi");
      metrics = () => renderPrometheus(shim.runtime.metrics.registry);
      stops.push(async () => {
        server.closeAllConnections();
        server.close();
      });
      stops.push(() => shim.close());
    }
    const caller = await createMesh({
      ...common,
      workload: { name: "neighbour", namespace: "test" },
      outbound: {
        services: { [authority]: { endpoints: [{ address: `127.0.0.1:${port}`, identity: victimId }] }, ...services },
      },
    });
    stops.push(() => caller.close());
    const attacker = await MeshRuntime.start({
      options: { ...common, workload: { name: "attacker", namespace: "test" } },
    });
    stops.push(() => attacker.close());
    victim = new Victim(port, caller, attacker, metrics, stops);
    return victim;
  }

  /** A connection for whatever the attacker wants to say. */
  async dial(way: Way = "cleartext"): Promise<Socket> {
    const raw = connect({ port: this.port, host: "127.0.0.1", noDelay: true });
    raw.on("error", () => {});
    let socket: Socket | TLSSocket = raw;
    if (way === "mutual TLS") {
      socket = connectTls({
        socket: raw,
        ...clientTlsOptions(this.#attacker.identity.current!, SpiffeId.parse(victimId)),
      });
      socket.on("error", () => {});
      await once(socket, "secureConnect");
    } else await once(raw, "connect");
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }

  /** How often each defence of the victim acted. */
  protections(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const [, reason, count] of this.#metrics().matchAll(/^selvage_protections_total\{reason="([^"]*)"\} (\d+)$/gm))
      found[reason!] = Number(count);
    return found;
  }

  metrics(): string {
    return this.#metrics();
  }

  /** Calls the victim over and over, from when its connection is there until told to stop; says how that went. */
  async neighbour(path = "/ok"): Promise<() => Promise<{ sent: number; failed: string[] }>> {
    await (await this.caller.fetch(`http://${authority}${path}`)).text();
    let going = true;
    const failed: string[] = [];
    let sent = 0;
    const worker = async () => {
      while (going || sent < 20) {
        sent += 1;
        try {
          const response = await this.caller.fetch(`http://${authority}${path}`);
          const text = await response.text();
          if (response.status !== 200 || text !== "ok") failed.push(`${response.status} ${text}`);
        } catch (error) {
          failed.push(String((error as Error).cause ?? error));
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const done = Promise.all([worker(), worker()]);
    return async () => {
      going = false;
      await done;
      return { sent, failed };
    };
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const stop of this.#stops.reverse()) await stop();
  }

  #count(req: IncomingMessage, res: ServerResponse, app: RequestListener): void {
    this.running += 1;
    this.started += 1;
    this.most = Math.max(this.most, this.running);
    res.on("close", () => {
      this.running -= 1;
    });
    app(req, res);
  }
}

/** Answers at once, never, or with a lot; reads uploads or leaves them. */
const holding: RequestListener = (req, res) => {
  const url = new URL(req.url ?? "/", "http://a");
  switch (url.pathname) {
    case "/hold":
      return;
    case "/big": {
      const piece = Buffer.alloc(65_536, "x");
      let left = Number(url.searchParams.get("n") ?? 64);
      const more = () => {
        while (left > 0) {
          left -= 1;
          if (!res.write(piece)) return void res.once("drain", more);
        }
        res.end();
      };
      return more();
    }
    case "/upload":
      req.resume();
      req.on("end", () => res.end("ok"));
      return;
    case "/refuse":
      res.writeHead(413, { "content-length": 0 });
      return void res.end();
    default:
      res.end("ok");
  }
};

export function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** Waits for something that has to come true; the test's timeout says when it did not. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
