import { connect } from "node:net";
import { HttpServer, MeshExchange, type Service } from "@selvage/core/spi";
import { afterEach, describe, expect, test } from "vitest";
import { ProxyEntry } from "./proxy-entry.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** What comes out of the entry, and what comes back to the program. */
async function through(request: string): Promise<{ seen: string; answer: string }> {
  let seen = "";
  const app: Service = {
    call(x, sink) {
      seen = `${x.method} ${x.absoluteForm ? "absolute" : "origin"} ${x.authority} ${x.path} ${x.headers.join(" ")}`;
      sink.onHead(200, ["content-length", "2"]);
      sink.onData(Buffer.from("ok"));
      sink.onEnd(null);
    },
  };
  const front = new HttpServer({
    service: new ProxyEntry(app, { isService: () => false, accept() {} }),
    newExchange: () => new MeshExchange("outbound"),
  });
  const { port } = await front.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => front.destroy());
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  socket.write(request);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  return { seen, answer };
}

describe("a request to the shim as a proxy", () => {
  test("goes on in origin form", async () => {
    const request = "GET http://shop.test/items?a=b HTTP/1.1\r\nHost: shop.test\r\nX-A: 1\r\nConnection: close\r\n\r\n";
    const { seen, answer } = await through(request);
    expect(seen).toBe("GET origin shop.test /items?a=b host shop.test x-a 1");
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("goes to its target, whatever Host says", async () => {
    const request = "GET http://shop.test/ HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n";
    expect((await through(request)).seen).toBe("GET origin shop.test / host shop.test");
  });

  test("has a Host also when HTTP/1.0 sent none", async () => {
    const { seen } = await through("GET http://shop.test/ HTTP/1.0\r\n\r\n");
    expect(seen).toBe("GET origin shop.test / host shop.test");
  });

  test("that was in origin form stays as it is", async () => {
    const { seen } = await through("GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    expect(seen).toBe("GET origin shop.test /x host shop.test");
  });

  test("for the server itself keeps its asterisk", async () => {
    const { seen } = await through("OPTIONS http://shop.test HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    expect(seen).toBe("OPTIONS origin shop.test * host shop.test");
  });
});
