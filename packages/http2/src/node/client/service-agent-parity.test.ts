import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServiceAgent } from "./service-agent.js";
import { type PlayedExchange, TestingService } from "./testing-service.js";

/** What is done on both: by node:http over TCP, and by the seam over a service. */
interface Scenario {
  readonly name: string;
  readonly options?: http.RequestOptions;
  /** Runs when the request was made. Ends it, unless the scenario is about not doing so. */
  readonly client: (req: ClientRequest, log: string[]) => void;
  readonly response?: (res: IncomingMessage, req: ClientRequest, log: string[]) => void;
  readonly server: (req: IncomingMessage, res: ServerResponse) => void;
  readonly played: (e: PlayedExchange) => void;
}

const scenarios: Scenario[] = [
  {
    name: "a GET",
    client: (req) => req.end(),
    server: (_req, res) => res.end("body"),
    played: (e) => e.respond(200, [], "body"),
  },
  {
    name: "a POST in parts",
    options: { method: "POST" },
    client: (req, log) => {
      req.write("one", () => log.push("write callback"));
      req.end("two", () => log.push("end callback"));
    },
    server: (req, res) => req.resume().on("end", () => res.end("thanks")),
    played: (e) => e.whenReceived(() => setImmediate(() => e.respond(200, [], "thanks"))),
  },
  {
    name: "HEAD",
    options: { method: "HEAD" },
    client: (req) => req.end(),
    server: (_req, res) => res.writeHead(200, { "content-length": 4 }).end(),
    played: (e) => e.respond(200, ["content-length", "4"]),
  },
  {
    name: "204",
    client: (req) => req.end(),
    server: (_req, res) => res.writeHead(204).end(),
    played: (e) => e.respond(204),
  },
  {
    name: "a response that nobody listens for",
    client: (req) => {
      req.removeAllListeners("response");
      req.end();
    },
    server: (_req, res) => res.end("unread"),
    played: (e) => e.respond(200, [], "unread"),
  },
  {
    name: "destroy before there is a socket",
    client: (req) => req.destroy(),
    server: (_req, res) => res.end(),
    played: (e) => e.respond(200),
  },
  {
    name: "destroy with an error before there is a socket",
    client: (req) => req.destroy(new Error("mine")),
    server: (_req, res) => res.end(),
    played: (e) => e.respond(200),
  },
  {
    name: "abort before there is a socket",
    client: (req) => req.abort(),
    server: (_req, res) => res.end(),
    played: (e) => e.respond(200),
  },
  {
    name: "destroy while waiting",
    client: (req) => {
      req.end();
      req.on("finish", () => setTimeout(() => req.destroy(), 10));
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "destroy with an error while waiting",
    client: (req) => {
      req.end();
      req.on("finish", () => setTimeout(() => req.destroy(new Error("mine")), 10));
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "abort while waiting",
    client: (req) => {
      req.end();
      req.on("finish", () => setTimeout(() => req.abort(), 10));
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "a signal while waiting",
    client: (req) => {
      req.end();
      req.on("finish", () => setTimeout(() => req.emit("test:abort"), 10));
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "req.destroy in the response",
    client: (req) => req.end(),
    response: (res, req) => res.once("data", () => req.destroy()),
    server: (_req, res) => res.write("part"),
    played: (e) => {
      e.head(200);
      e.data("part");
    },
  },
  {
    name: "res.destroy in the response",
    client: (req) => req.end(),
    response: (res) => res.once("data", () => res.destroy()),
    server: (_req, res) => res.write("part"),
    played: (e) => {
      e.head(200);
      e.data("part");
    },
  },
  {
    name: "res.destroy with an error",
    client: (req) => req.end(),
    response: (res) => res.once("data", () => res.destroy(new Error("mine"))),
    server: (_req, res) => res.write("part"),
    played: (e) => {
      e.head(200);
      e.data("part");
    },
  },
  {
    name: "an early answer to a request that is still being written",
    options: { method: "POST" },
    client: (req) => {
      req.write("begun");
      req.on("response", (res) => res.on("end", () => setTimeout(() => req.end("rest"), 10)));
    },
    server: (_req, res) => res.end("early"),
    played: (e) => e.respond(200, [], "early"),
  },
  {
    name: "informational heads",
    client: (req) => req.end(),
    server: (_req, res) => {
      res.writeProcessing();
      res.writeContinue();
      res.end("body");
    },
    played: (e) => {
      e.informational(102);
      e.informational(100);
      e.respond(200, [], "body");
    },
  },
  {
    name: "expect: 100-continue",
    options: { method: "POST", headers: { expect: "100-continue", "content-length": "4" } },
    client: (req) => req.on("continue", () => req.end("body")),
    server: (req, res) => req.resume().on("end", () => res.end("ok")),
    played: (e) => {
      e.informational(100);
      e.whenReceived(() => setImmediate(() => e.respond(200, [], "ok")));
    },
  },
  {
    name: "the timeout option",
    options: { timeout: 30 },
    client: (req) => {
      req.end();
      req.on("timeout", () => req.destroy());
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "setTimeout",
    client: (req, log) => {
      req.setTimeout(30, () => {
        log.push("timeout callback");
        req.destroy();
      });
      req.end();
    },
    server: () => {},
    played: () => {},
  },
  {
    name: "an upgrade",
    options: { headers: { connection: "Upgrade", upgrade: "echo" } },
    client: (req, log) => {
      req.end();
      req.on("upgrade", (res, socket, head) => {
        log.push(
          `upgraded ${res.statusCode} ${res.headers.upgrade} ${head.length} ${(res as unknown as { upgrade: boolean }).upgrade}`,
        );
        socket.on("data", (data: Buffer) => log.push(`tunnel ${data}`));
        socket.on("end", () => log.push("tunnel end"));
        socket.on("close", () => log.push("tunnel close"));
        setTimeout(() => socket.end("ping"), 10);
      });
    },
    server: () => {},
    played: (e) => {
      if (!e.x.tunnel) return;
      e.head(101, ["upgrade", "echo", "connection", "upgrade"]);
      e.x.body?.pipe({ onData: (chunk) => e.data(chunk), onEnd: () => e.end() });
    },
  },
  {
    name: "an upgrade that nobody listens for",
    options: { headers: { connection: "Upgrade", upgrade: "echo" } },
    client: (req) => req.end(),
    server: () => {},
    played: (e) => e.head(101, ["upgrade", "echo", "connection", "upgrade"]),
  },
];

function run(scenario: Scenario, options: http.RequestOptions): Promise<string[]> {
  return new Promise((resolve) => {
    const log: string[] = [];
    const abort = new AbortController();
    const req = http.request({ path: "/", ...scenario.options, ...options, signal: abort.signal });
    const state = (): string =>
      `[${[req.destroyed && "destroyed", req.aborted && "aborted", req.writableEnded && "ended", req.writableFinished && "finished", (req as unknown as { res?: IncomingMessage }).res?.complete && "complete"].filter(Boolean).join(" ")}]`;
    for (const event of ["abort", "finish", "timeout", "continue", "information"]) {
      req.on(event, () => log.push(`req ${event} ${state()}`));
    }
    req.on("socket", () => log.push("req socket"));
    req.on("error", (error: NodeJS.ErrnoException) => log.push(`req error ${error.code} ${error.message} ${state()}`));
    req.on("test:abort", () => abort.abort());
    req.on("response", (res) => {
      log.push(`req response ${res.statusCode} ${state()}`);
      for (const event of ["aborted", "end", "close"]) res.on(event, () => log.push(`res ${event} ${state()}`));
      res.on("error", (error: NodeJS.ErrnoException) => log.push(`res error ${error.code} ${error.message}`));
      res.on("data", (data: Buffer) => log.push(`res data ${data}`));
      scenario.response?.(res, req, log);
    });
    req.on("close", () => {
      log.push(`req close ${state()}`);
      setTimeout(() => resolve(log), 40);
    });
    scenario.client(req, log);
  });
}

describe("the events of a request are node:http's own:", () => {
  const byPath = new Map<string, Scenario>();
  const server = http.createServer((req, res) => byPath.get(req.headers["x-scenario"] as string)!.server(req, res));
  server.on("upgrade", (_req, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
    socket.on("data", (data) => socket.write(data)).on("end", () => socket.end());
    socket.on("error", () => {});
  });
  const real = new http.Agent({ keepAlive: true });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => {
    real.destroy();
    server.closeAllConnections();
    server.close();
  });

  it.each(scenarios)("$name", async (scenario) => {
    byPath.set(scenario.name, scenario);
    const { port } = server.address() as AddressInfo;
    const headers = { "x-scenario": scenario.name, ...(scenario.options?.headers as object) };
    const expected = await run(scenario, { agent: real, host: "127.0.0.1", port, headers });
    const agent = new ServiceAgent(new TestingService((e) => setImmediate(scenario.played, e)));
    const actual = await run(scenario, { agent, host: "a.shop", headers });
    expect(actual).toEqual(expected);
  });
});
