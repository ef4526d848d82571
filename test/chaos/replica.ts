// Servers under test: `replica.mjs sdk NAME PROTOCOL`, a workload with the library; or `replica.mjs app COUNT PROTOCOL`, plain ones,
// the first on PORT.
import { openSync, writeSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type Http2ServerRequest } from "node:http2";
import type { AddressInfo } from "node:net";
import { type Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { createMesh } from "@selvage/core";
import { serveGrpc } from "@selvage/core/grpc";
import { chaosServer } from "./chaos-service.js";

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

  /** `id` of a request that may not be processed twice. */
  readonly arrive = (id: string | null): void => {
    this.requests++;
    // At once and synchronously, so that the log is true whatever becomes of the process.
    if (log !== null && id !== null) writeSync(log, `${id}\n`);
  };

  readonly delayMs = (): number => this.behaviour.delayMs ?? Number(CHAOS_DELAY_MS);

  readonly listener: RequestListener = (req, res) => {
    const { url = "/" } = req;
    this.arrive(req.method === "GET" ? null : url.slice(url.indexOf("id=") + 3));
    const { reset, hang, status } = this.behaviour;
    if (reset) return void ((req as unknown as Http2ServerRequest).stream?.session ?? req.socket).destroy();
    if (hang) return;
    const answer = () => {
      res.statusCode = status ?? 200;
      res.end("answer");
    };
    req.resume();
    req.on("end", () => setTimeout(answer, this.delayMs()));
  };

  /** gRPC: each call counts as one that may not be processed twice. */
  grpc(): GrpcServer {
    return chaosServer(this.arrive, this.delayMs);
  }
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

function listening(server: Server | Http2Server, port: number): Promise<number> {
  return new Promise((resolve) => server.listen(port, HOST, () => resolve((server.address() as AddressInfo).port)));
}

function bound(server: GrpcServer, port: number): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync(`${HOST}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    ),
  );
}

const [kind, argument, protocol = "h1"] = process.argv.slice(2);
if (kind === "sdk") {
  const mesh = await createMesh({
    workload: { name: argument ?? "app" },
    admin: false,
    drain: { timeout: "5s" },
    inbound: { host: HOST },
  });
  process.once("SIGTERM", () => void mesh.close().then(() => process.exit(0)));
  const app = new App();
  apps.push(app);
  const server = protocol === "grpc" ? serveGrpc(mesh, app.grpc()) : mesh.createServer(app.listener);
  process.send?.({ ports: [await listening(server, Number(PORT))] } satisfies Serving);
} else {
  const closes: (() => void)[] = [];
  process.once("SIGTERM", () => {
    for (const close of closes) close();
    if (process.connected) process.disconnect();
  });
  const ports: number[] = [];
  for (let i = 0; i < Number(argument ?? 1); i++) {
    const app = new App();
    apps.push(app);
    const port = i === 0 ? Number(PORT) : 0;
    if (protocol === "grpc") {
      const server = app.grpc();
      closes.push(() => server.tryShutdown(() => {}));
      ports.push(await bound(server, port));
    } else {
      const server = protocol === "h2" ? createHttp2Server(app.listener as never) : createServer(app.listener);
      closes.push(() => {
        server.close();
        if ("closeIdleConnections" in server) server.closeIdleConnections();
      });
      ports.push(await listening(server, port));
    }
  }
  process.send?.({ ports } satisfies Serving);
}
