import { once } from "node:events";
import { expect, test } from "vitest";
import type { Connection } from "../exchange.js";
import { duplexPair } from "../testing/duplex-pair.js";
import { ScriptedService } from "../testing/scripted-service.js";
import { resolveHttp1 } from "./limits.js";
import { ServerConnection } from "./server-connection.js";

function connect() {
  const [client, socket] = duplexPair();
  const connection: Connection = {
    socket,
    remoteAddress: "",
    remotePort: 0,
    localAddress: "",
    localPort: 0,
    encrypted: false,
    protocol: "http/1",
    context: null,
    drain() {},
    destroy() {},
  };
  const service = new ScriptedService({ body: "x" });
  const config = resolveHttp1({ discardTimeoutMs: 100 });
  const server = new ServerConnection(socket, connection, service, config, { onClosed() {} });
  return { client, server, service };
}

const request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

test("a request that crosses with the drain of an idle connection is still answered, and told that it is the last", async () => {
  const { client, server } = connect();
  client.write(request);
  await once(client, "data");
  server.drain();
  client.write(request);
  const chunks: Buffer[] = [];
  client.on("data", (chunk) => chunks.push(chunk));
  await once(client, "end");
  expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\nConnection: close\r\n/i);
});

test("an idle connection that drains ends soon when nothing comes", async () => {
  const { client, server, service } = connect();
  client.write(request);
  await once(client, "data");
  server.drain();
  client.resume();
  await once(client, "end");
  expect(service.calls.length).toBe(1);
});
