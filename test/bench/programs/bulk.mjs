// Large bodies in both directions: an app that takes and gives them, and a client of it.
import { Agent, createServer, request } from "node:http";
import { ready } from "./program.mjs";

const chunk = Buffer.alloc(65_536, "x");

async function give(stream, bytes) {
  for (let left = bytes; left > 0; left -= chunk.length) {
    const more = stream.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
    if (!more) await new Promise((resolve, reject) => stream.once("drain", resolve).once("error", reject));
  }
  stream.end();
}

function take(stream) {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    stream.on("data", (data) => {
      bytes += data.length;
    });
    stream.on("end", () => resolve(bytes)).on("error", reject);
  });
}

const server = createServer(async (req, res) => {
  const bytes = await take(req);
  const wanted = Number(req.headers["x-bytes"] ?? 0);
  res.writeHead(200, { "content-length": wanted, "x-received": bytes });
  await give(res, wanted);
});

const agent = new Agent({ keepAlive: true });

function exchange({ port, host, path }, { method, headers, send = 0 }) {
  return new Promise((resolve, reject) => {
    const req = request({ agent, port, path, method, headers: { host, ...headers } });
    req.on("error", reject);
    req.on("response", (res) => {
      if (res.statusCode !== 200) reject(new Error(`answered ${res.statusCode}`));
      take(res).then((taken) => resolve(send > 0 ? Number(res.headers["x-received"]) : taken), reject);
    });
    give(req, send).catch(reject);
  });
}

server.listen(0, "127.0.0.1", () =>
  ready(
    { port: server.address().port },
    {
      upload: async ({ bytes, ...to }) => ({
        bytes: await exchange(to, { method: "POST", headers: { "content-length": bytes }, send: bytes }),
      }),
      download: async ({ bytes, ...from }) => ({
        bytes: await exchange(from, { method: "GET", headers: { "x-bytes": bytes } }),
      }),
    },
  ),
);
