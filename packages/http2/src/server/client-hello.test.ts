import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { readAlpnOffer } from "./client-hello.js";

async function clientHello(ALPNProtocols?: string[]): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }) });
  client.on("error", () => {});
  const [socket] = await once(server, "connection");
  const [hello] = await once(socket, "data");
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

test("reads what a client offers", async () => {
  expect(readAlpnOffer(await clientHello())).toBe("none");
  expect(readAlpnOffer(await clientHello(["h2"]))).toBe("http");
  expect(readAlpnOffer(await clientHello(["foo", "http/1.1"]))).toBe("http");
  expect(readAlpnOffer(await clientHello(["transport.l5d.io/v1"]))).toBe("other");
});

test("every prefix of a hello wants more, and no mutation throws", async () => {
  const hello = await clientHello(["transport.l5d.io/v1"]);
  for (let i = 0; i < hello.length; i++) expect(readAlpnOffer(hello.subarray(0, i))).toBe("more");
  for (let i = 0; i < hello.length; i++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const mutant = Buffer.from(hello);
      mutant[i] = value;
      expect(["more", "none", "http", "other"]).toContain(readAlpnOffer(mutant));
    }
  }
});
