import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, connect as netConnect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { HttpServer } from "../server/http-server.js";
import { RecordingSink } from "../testing/recording-sink.js";
import { exchange } from "../testing/test-exchange.js";
import type { Connect } from "./connect.js";
import { EndpointClient } from "./endpoint-client.js";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Connects in plain, and says what was chosen as a TLS socket would. */
function connectTo(port: number, chosen: string, opened: Duplex[]): Connect {
  return (callback) => {
    const socket = netConnect({ host: "127.0.0.1", port });
    (socket as Socket & { alpnProtocol?: string }).alpnProtocol = chosen;
    socket.on("error", () => {});
    socket.once("connect", () => {
      opened.push(socket);
      callback(null, socket, Number.POSITIVE_INFINITY);
    });
    return () => socket.destroy();
  };
}

async function clientOf(chosen: string) {
  const server = new HttpServer({
    service: {
      call(x, sink) {
        sink.onHead(200, ["content-length", "3"]);
        sink.onData(Buffer.from(x.connection?.protocol === "http/2" ? "two" : "one"));
        sink.onEnd(null);
      },
    },
  });
  cleanups.push(() => server.destroy());
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const both: Duplex[] = [];
  const http1: Duplex[] = [];
  const client = new EndpointClient(connectTo(port, chosen, both), {
    protocol: "alpn",
    connectHttp1: connectTo(port, "http/1.1", http1),
  });
  cleanups.push(() => client.destroy());
  const get = () => {
    const sink = new RecordingSink();
    client.call(exchange(), sink);
    return sink;
  };
  return { client, get, both, http1 };
}

test("a peer that picks h2 gets it, on one connection", async () => {
  const { get, both, http1 } = await clientOf("h2");
  const sinks = [get(), get(), get()];
  await Promise.all(sinks.map((sink) => sink.done));
  expect(sinks.map((sink) => sink.text)).toEqual(["two", "two", "two"]);
  expect([both.length, http1.length]).toEqual([1, 0]);
});

test.each(["http/1.1", ""])(
  "after a peer picked %j all goes over HTTP/1, and the first connection is used",
  async (chosen) => {
    const { client, get, both, http1 } = await clientOf(chosen);
    const sinks = [get(), get(), get()];
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.text)).toEqual(["one", "one", "one"]);
    expect(both.length).toBe(1);
    expect(http1.length).toBe(2);
    const later = get();
    await later.done;
    expect([later.text, both.length, client.state]).toEqual(["one", 1, "ready"]);
  },
);

test("a client that is closed while it learns what the peer speaks finishes what waits", async () => {
  const { client, get } = await clientOf("http/1.1");
  const sink = get();
  const closed = client.close();
  await sink.done;
  expect(sink.text).toBe("one");
  await closed;
});

test("a failure to connect fails what waits, and is tried again", async () => {
  const silent = createServer((socket) => socket.destroy());
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  silent.close();
  await once(silent, "close");
  const refusing: Connect = (callback) => {
    const socket = netConnect({ host: "127.0.0.1", port });
    socket.once("error", (cause) => {
      callback(Object.assign(cause, { code: "SELVAGE_ERR_CONNECT" }) as never, null, Number.POSITIVE_INFINITY);
    });
    return () => socket.destroy();
  };
  const client = new EndpointClient(refusing, { protocol: "alpn", connectHttp1: refusing });
  cleanups.push(() => client.destroy());
  const sink = new RecordingSink();
  client.call(exchange(), sink);
  await sink.done;
  expect([sink.error?.code, client.state]).toEqual(["SELVAGE_ERR_CONNECT", "failing"]);
});
