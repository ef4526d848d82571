import { createServer, type IncomingMessage } from "node:http";
import { type BodySink, Exchange, HttpServer, type Service, type Sink } from "@selvage/http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frameType } from "../../packages/http2/src/h2/frame.js";
import { data, endAll, endHead, headers, RawPeer } from "../../packages/http2/src/h2/test-peer.js";
import { corpus, type Smuggle } from "./smuggling-corpus.js";
import { listen, Victim, type Way, ways } from "./victim.js";

/** A request as an HTTP/1 server read it. */
interface Seen {
  readonly target: string;
  readonly host: string | undefined;
  readonly names: readonly string[];
  readonly values: readonly string[];
  body: string;
}

let seen: Seen[] = [];

function note(target: string, headerList: readonly string[]): Seen {
  const names = headerList.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  const values = headerList.filter((_, at) => at % 2 === 1);
  const one: Seen = { target, host: values[names.indexOf("host")], names, values, body: "" };
  seen.push(one);
  return one;
}

/** Behind the shim: what node:http makes of the bytes that the shim writes. */
async function nodeBackend(): Promise<{ port: number; close(): void }> {
  const server = createServer((req: IncomingMessage, res) => {
    const one = note(`${req.method} ${req.url}`, req.rawHeaders);
    req.on("error", () => {});
    req.on("data", (chunk: Buffer) => {
      one.body += chunk.toString("latin1");
    });
    req.on("end", () => res.end("ok"));
  });
  return {
    port: await listen(server),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** And what our own HTTP/1 server does. */
async function ownBackend(): Promise<{ port: number; close(): void }> {
  const service: Service = {
    call(x: Exchange, sink: Sink) {
      const one = note(`${x.method} ${x.path}`, x.headers);
      const answer = () => {
        sink.onHead(200, ["content-length", "2"]);
        sink.onData(Buffer.from("ok"));
        sink.onEnd(null);
      };
      const body: BodySink = {
        onData: (chunk) => {
          one.body += Buffer.from(chunk).toString("latin1");
        },
        onEnd: answer,
      };
      if (x.body === null) answer();
      else x.body.pipe(body);
    },
  };
  const server = new HttpServer({ service, newExchange: () => new Exchange() });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  return { port, close: () => server.destroy() };
}

function field(one: Smuggle, name: string): string | undefined {
  const at = one.fields.findIndex((text, index) => index % 2 === 0 && text === name);
  return at < 0 ? undefined : one.fields[at + 1];
}

describe("the corpus", () => {
  it("has at least fifty cases, each with a name of its own", () => {
    expect(corpus.length).toBeGreaterThanOrEqual(50);
    expect(new Set(corpus.map((one) => one.name)).size).toBe(corpus.length);
  });
});

for (const [backend, start] of [
  ["node:http", nodeBackend],
  ["our HTTP/1 server", ownBackend],
] as const) {
  describe(`HTTP/2 into ${backend} by way of the shim`, () => {
    let behind: { port: number; close(): void };
    let victim: Victim;
    let sent = 0;

    beforeAll(async () => {
      behind = await start();
      victim = await Victim.start({ form: "shim", inbound: { app: `127.0.0.1:${behind.port}` } });
    });
    afterAll(async () => {
      await victim?.stop();
      behind?.close();
    });

    for (const way of ways) {
      it.each(corpus.map((one) => [one.name, one] as const))(
        `%s means the same to both, or is refused (${way})`,
        (_, one) => smuggle(one, way),
      );
    }

    async function smuggle(one: Smuggle, way: Way): Promise<void> {
      seen = [];
      const socket = await victim.dial(way);
      const peer = new RawPeer(socket).greet();
      const body = one.body ?? null;
      peer.write(headers(1, [...one.fields], body === null ? endAll : endHead));
      if (body !== null) peer.write(data(1, body, flag.endStream));
      // A plain request after it: whatever was left over in a connection to the app would be taken for its beginning.
      const mark = `/after-${++sent}`;
      const after = [":method", "GET", ":scheme", "http", ":authority", "victim.test", ":path", mark];
      await peer.until(() => peer.ended || over(peer, 1)).catch(() => peer);
      const next = peer.ended ? new RawPeer(await victim.dial(way)).greet() : peer;
      next.write(headers(3, after));
      await next.until(() => over(next, 3));
      next.destroy();
      socket.destroy();
      const requests = seen.filter((other) => other.target !== `GET ${mark}`);
      expect(seen.length - requests.length).toBe(1);
      expect(requests.length).toBeLessThanOrEqual(1);
      const got = requests[0];
      if (got === undefined) return;
      // From a workload of the mesh it is believed: HTTP/1.0, which needs no host, or a target in absolute form.
      const carried = way === "mutual TLS" ? (field(one, "l5d-orig-proto") ?? "") : "";
      const absolute = carried.endsWith("absolute-form") && backend === "node:http";
      const path = field(one, ":path");
      expect(got.target).toBe(`${field(one, ":method")} ${absolute ? `http://victim.test${path}` : path}`);
      expect(got.body).toBe(body ?? "");
      if (!carried.startsWith("HTTP/1.0")) expect(got.host).toBe(carried === "" ? "victim.test" : field(one, "host"));
      expect(
        got.names.filter((name) => /^(upgrade|http2-settings|keep-alive|proxy-connection|l5d-orig-proto)$/.test(name)),
      ).toEqual([]);
      expect(got.values.filter((value) => /[\r\n\0]/.test(value))).toEqual([]);
      for (const name of ["content-length", "transfer-encoding", "host"])
        expect(got.names.filter((other) => other === name).length).toBeLessThanOrEqual(1);
    }
  });
}

function over(peer: RawPeer, id: number): boolean {
  return peer.frames.some(
    (one) =>
      one.id === id &&
      (one.type === frameType.rstStream ||
        ((one.type === frameType.headers || one.type === frameType.data) && (one.flags & flag.endStream) !== 0)),
  );
}
