import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { AppExit } from "./app-exit.js";
import { clientGone, FakeBody, type FakeRequest, send } from "./app-exit-fakes.js";

type App = (req: IncomingMessage, res: ServerResponse) => unknown;

interface Scenario {
  name: string;
  app: App;
  method?: string;
  body?: string;
  /** Says that more of the body follows, which never comes. */
  unfinished?: boolean;
  /** The client goes away: before it got anything, or after its first byte of a response. */
  gone?: "before" | "during";
}

const events = ["end", "aborted", "error", "close", "finish", "prefinish", "drain"];

/** All that the application can see of an exchange, event by event. */
class Log {
  readonly lines: string[] = [];
  /** Node's parser lets ticks run between a head and its body, although both came in one read. */
  early = false;
  private readonly closed = new Set<string>();
  private resolve: () => void = () => {};
  readonly over = new Promise<void>((resolve) => {
    this.resolve = resolve;
  });

  watch(req: IncomingMessage, res: ServerResponse, reads: boolean): void {
    for (const [name, emitter] of [
      ["req", req],
      ["res", res],
    ] as const) {
      for (const event of events) {
        if (event === "end" && !reads && name === "req") continue;
        emitter.on(event, (error?: NodeJS.ErrnoException) => {
          const code = error instanceof Error ? ` ${error.code ?? error.message}` : "";
          this.add(`${name} ${event}${code}`, req, res);
          if (event !== "close") return;
          this.closed.add(name);
          if (this.closed.size === 2) this.resolve();
        });
      }
    }
  }

  add(what: string, req: IncomingMessage, res: ServerResponse): void {
    const flags = {
      complete: req.complete && !this.early,
      aborted: req.destroyed && !req.readableEnded,
      ended: req.readableEnded,
      reqDestroyed: req.destroyed,
      sent: res.headersSent,
      writableEnded: res.writableEnded,
      finished: res.writableFinished,
      resDestroyed: res.destroyed,
      needDrain: res.writableNeedDrain,
      closed: res.closed,
      socket: res.socket !== null,
    };
    const set = Object.entries(flags).flatMap(([name, value]) => (value ? [name] : []));
    this.lines.push(`${what}: ${set.join(" ")}`);
  }
}

const scenarios: Scenario[] = [
  { name: "an answer at once", app: (_, res) => res.end("ok") },
  { name: "an answer later", app: (_, res) => setImmediate(() => res.end("ok")) },
  { name: "an answer in parts", app: (_, res) => [res.write("a"), res.write("b"), res.end("c")] },
  { name: "a head, then an end", app: (_, res) => [res.writeHead(201), res.end()] },
  { name: "HEAD", method: "HEAD", app: (_, res) => [res.write("a"), res.end("b")] },
  { name: "204", app: (_, res) => res.writeHead(204).end() },
  {
    name: "a body that is read before the answer",
    method: "POST",
    body: "hello",
    app: (req, res) => [req.resume(), req.on("end", () => res.end("ok"))],
  },
  { name: "a body that is echoed", method: "POST", body: "hello", app: (req, res) => req.pipe(res) },
  { name: "a body that nobody reads", method: "POST", body: "hello", app: (_, res) => res.end("ok") },
  {
    name: "a client that goes before the answer",
    gone: "before",
    app: () => {},
  },
  {
    name: "a client that goes in the middle of its body",
    method: "POST",
    body: "hello",
    unfinished: true,
    gone: "before",
    app: (req) => req.resume(),
  },
  { name: "a client that goes in the middle of the answer", gone: "during", app: (_, res) => res.write("a") },
  { name: "res.destroy()", app: (_, res) => res.destroy() },
  {
    name: "res.destroy() in the middle of the answer",
    app: (_, res) => [res.write("a"), setImmediate(() => res.destroy())],
  },
  { name: "req.destroy()", app: (req) => req.destroy() },
  {
    name: "req.destroy() in the middle of a body",
    method: "POST",
    body: "hello",
    unfinished: true,
    app: (req) => req.once("data", () => req.destroy()),
  },
  { name: "req.destroy() with an error", app: (req) => req.destroy(new Error("mine")) },
  { name: "a write after the end", app: (_, res) => [res.end("a"), res.write("b")] },
  { name: "a timeout that nobody handles but the server", app: (_, res) => res.setTimeout(5) },
];

function reads(scenario: Scenario): boolean {
  return scenario.method === "POST" && scenario.name !== "a body that nobody reads";
}

function serverOf(scenario: Scenario, log: Log, started: () => void): Server {
  return createServer((req, res) => {
    log.early = scenario.name === "a body that nobody reads";
    log.add("request", req, res);
    log.watch(req, res, reads(scenario));
    scenario.app(req, res);
    log.add("returned", req, res);
    started();
  });
}

async function overTcp(scenario: Scenario): Promise<string[]> {
  const log = new Log();
  let start: () => void = () => {};
  const started = new Promise<void>((resolve) => {
    start = resolve;
  });
  const server = serverOf(scenario, log, () => start());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  const { method = "GET", body = "", unfinished = false } = scenario;
  const length = body.length + (unfinished ? 10 : 0);
  client.write(`${method} / HTTP/1.1\r\nhost: a\r\n${length > 0 ? `content-length: ${length}\r\n` : ""}\r\n${body}`);
  await started;
  if (scenario.gone === "during") await once(client, "data");
  if (scenario.gone !== undefined) client.destroy();
  client.resume();
  await log.over;
  await sleep(5);
  client.destroy();
  server.close();
  server.closeAllConnections();
  return log.lines;
}

async function throughSeam(scenario: Scenario): Promise<string[]> {
  const log = new Log();
  const server = serverOf(scenario, log, () => {});
  const exit = new AppExit(server, { seam: "objects" });
  const { method = "GET", body = "", unfinished = false } = scenario;
  const request: FakeRequest = { method, version: "1.1", headers: ["host", "a"] };
  if (body !== "") {
    const fake = new FakeBody(body.length + (unfinished ? 10 : 0)).give(body);
    request.body = unfinished ? fake : fake.end();
    request.headers = ["host", "a", "content-length", `${fake.length}`];
  }
  const { x } = send(exit, request);
  if (scenario.gone !== undefined) setImmediate(() => x.flow.abort(clientGone()));
  await log.over;
  await sleep(5);
  return log.lines;
}

test.each(scenarios)("is seen as with node:http over TCP: $name", async (scenario) => {
  expect(await throughSeam(scenario)).toEqual(await overTcp(scenario));
});
