// Servers under test: `replica.mjs sdk NAME`, a workload with the library; or `replica.mjs app COUNT`, plain ones, the first on PORT.
import { openSync, writeSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createMesh } from "@selvage/core";

/** What a test tells a server to be from now on. */
export interface Behaviour {
  /** Which of the servers; all of them unless given. */
  readonly only?: number;
  /** How long an answer takes. */
  readonly delayMs?: number;
  readonly status?: number;
  /** Connections are reset as soon as a request is there. */
  readonly reset?: boolean;
  /** There is never an answer. */
  readonly hang?: boolean;
}

/** What a replica says when it serves. */
export interface Serving {
  readonly ports: readonly number[];
}

const { CHAOS_LOG, CHAOS_DELAY_MS = "5", HOST = "127.0.0.1", PORT = "0" } = process.env;
const log = CHAOS_LOG === undefined ? null : openSync(CHAOS_LOG, "a");

class App {
  behaviour: Behaviour = {};
  requests = 0;

  readonly listener: RequestListener = (req, res) => {
    this.requests++;
    const id = new URL(req.url ?? "/", "http://app.test").searchParams.get("id");
    // At once and synchronously, so that the log is true whatever becomes of the process.
    if (log !== null && id !== null) writeSync(log, `${id}\n`);
    const { reset, hang, status, delayMs } = this.behaviour;
    if (reset) return void req.socket.destroy();
    if (hang) return;
    const answer = () => {
      res.statusCode = status ?? 200;
      res.end("answer");
    };
    req.resume();
    req.on("end", () => setTimeout(answer, delayMs ?? Number(CHAOS_DELAY_MS)));
  };
}

const apps: App[] = [];

// Behind a shim that was killed, nobody would end it.
const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(), 500).unref();

process.on("message", (message: Behaviour | "requests") => {
  if (message === "requests") return void process.send?.(apps.map(({ requests }) => requests));
  for (const [i, app] of apps.entries()) {
    if (message.only === undefined || message.only === i) app.behaviour = message;
  }
  process.send?.("so be it");
});

function listening(server: Server, port: number): Promise<number> {
  return new Promise((resolve) => server.listen(port, HOST, () => resolve((server.address() as AddressInfo).port)));
}

const [kind, argument] = process.argv.slice(2);
if (kind === "sdk") {
  const mesh = await createMesh({
    workload: { name: argument ?? "app" },
    admin: false,
    drain: { timeout: "5s" },
    inbound: { host: "127.0.0.1" },
  });
  process.once("SIGTERM", () => void mesh.close().then(() => process.exit(0)));
  const app = new App();
  apps.push(app);
  const ports = [await listening(mesh.createServer(app.listener), 0)];
  process.send?.({ ports } satisfies Serving);
} else {
  const servers: Server[] = [];
  process.once("SIGTERM", () => {
    for (const server of servers) server.close();
    for (const server of servers) server.closeIdleConnections();
    if (process.connected) process.disconnect();
  });
  const ports: number[] = [];
  for (let i = 0; i < Number(argument ?? 1); i++) {
    const app = new App();
    apps.push(app);
    const server = createServer(app.listener);
    servers.push(server);
    ports.push(await listening(server, i === 0 ? Number(PORT) : 0));
  }
  process.send?.({ ports } satisfies Serving);
}
