import { createServer, type Server } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import type { Service } from "../exchange.js";
import { dial, listen, RawPeer, type ServedPort, serve } from "../testing/h1-peers.js";
import type { ClientConnection } from "./client-connection.js";

// The two roles against each other: an exchange that one reads, the other writes.

const opened: { close(): void }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

/** A port that passes everything on, over connections of its own, one for each exchange at a time. */
async function relayTo(port: number): Promise<ServedPort & { dialled: () => number }> {
  const idle: ClientConnection[] = [];
  let dialled = 0;
  const service: Service = {
    call(x, sink) {
      const ready = idle.pop();
      if (ready !== undefined && !ready.closed) {
        ready.call(x, sink);
        return;
      }
      dialled++;
      dial(port, {}, { onIdle: (c) => idle.push(c) }).then((client) => {
        opened.push({ close: () => client.connection.destroy() });
        client.connection.call(x, sink);
      });
    },
  };
  const served = await serve(service);
  opened.push(served);
  return { ...served, dialled: () => dialled };
}

async function app(listener: Parameters<typeof createServer>[1]): Promise<number> {
  const server: Server = createServer(listener);
  opened.push({
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
  return listen(server);
}

describe("a relay", () => {
  test("keeps names, bodies, trailers and order on one connection each side", async () => {
    const port = await app((request, response) => {
      response.setHeader("X-mixed-Case", request.rawHeaders.filter((_, i) => i % 2 === 0).join(","));
      response.setHeader("Trailer", "x-sum");
      request.on("data", (chunk) => response.write(chunk));
      request.on("end", () => {
        response.addTrailers({ "x-sum": "1" });
        response.end();
      });
    });
    const relay = await relayTo(port);
    const peer = await RawPeer.open(relay.port);
    const post = "POST / HTTP/1.1\r\nHOST: a\r\nx-OdD: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    peer.send(post.repeat(3)).send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const text = await peer.toEnd();
    expect(text.match(/2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n/gi)).toHaveLength(3);
    expect(text).toContain("\r\nX-mixed-Case: Host,x-OdD,Transfer-Encoding\r\n");
    expect(relay.dialled()).toBe(1);
  });

  test("aborts at the far side when the near one goes", async () => {
    let aborted = () => {};
    const farGone = new Promise<void>((resolve) => {
      aborted = resolve;
    });
    let asked = () => {};
    const farAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const port = await app((request) => {
      request.on("error", () => {});
      request.socket.on("close", aborted);
      asked();
    });
    const relay = await relayTo(port);
    const peer = await RawPeer.open(relay.port);
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await farAsked;
    peer.socket.resetAndDestroy();
    await farGone;
    expect(relay.closedCount()).toBe(1);
  });

  test("breaks off at the near side when the far one breaks off", async () => {
    const port = await app((_, response) => {
      response.write("hi");
      setImmediate(() => response.destroy());
    });
    const relay = await relayTo(port);
    const peer = await RawPeer.open(relay.port);
    const text = await peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").toEnd();
    expect(text).not.toContain("0\r\n\r\n");
  });

  test("stays clean over many refused uploads on one connection", async () => {
    const port = await app((_, response) => {
      response.writeHead(413, { "content-length": 0 }).end();
    });
    const relay = await relayTo(port);
    let peer = await RawPeer.open(relay.port);
    let answers = 0;
    const trap = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    for (let i = 0; i < 100; i++) {
      const before = peer.received.length;
      peer.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${trap.length}\r\n\r\n${trap}`);
      await peer.until((text) => text.indexOf("\r\n\r\n", before) > 0);
      answers += peer.received.slice(before).match(/413/g)?.length ?? 0;
      if (peer.ended || peer.closed || peer.received.includes("close")) peer = await RawPeer.open(relay.port);
    }
    expect(answers).toBe(100);
  });
});
