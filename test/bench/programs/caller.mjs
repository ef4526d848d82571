// An app that calls another with undici's request(), in a closed loop or when triggered.
import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { Pool, request, setGlobalDispatcher } from "undici";
import { options, ready } from "./program.mjs";
import { monotonicMs, Samples } from "./samples.mjs";

const dispatcher = await {
  plain: () => undefined,
  async mesh() {
    const { createMesh } = await import("@selvage/core");
    return (await createMesh({ ...options.mesh, admin: false })).dispatcher;
  },
  undiciH2() {
    const { cert, key, ca } = options.tls;
    // As many streams as we have requests in flight; without it undici sends one at a time.
    return new Pool(new URL(options.url).origin, {
      connections: 1,
      pipelining: 100,
      allowH2: true,
      connect: {
        cert: readFileSync(cert),
        key: readFileSync(key),
        ca: readFileSync(ca),
        // The peer's certificate has a SPIFFE id and no host name.
        checkServerIdentity: () => undefined,
        minVersion: "TLSv1.3",
      },
    });
  },
}[options.kind]();
// Not as an option of each request: the objects that undici copies such options into have a new shape each, for which V8 has
// to look up every property the long way (Node 20; an eighth of this process's time).
if (dispatcher !== undefined) setGlobalDispatcher(dispatcher);

const samples = new Samples();
let error = null;

async function call(startedAt) {
  const { statusCode, body } = await request(options.url);
  const text = await body.text();
  if (statusCode !== 200 || text.length !== options.bytes) throw new Error(`got ${statusCode}: ${text.slice(0, 200)}`);
  samples.add(monotonicMs() - startedAt);
}

async function closedLoop(until) {
  while (performance.now() < until) await call(monotonicMs());
}

/** With more it is no longer a rate but an overload. */
const maxInFlight = 1_000;
let sent = 0;
let triggersEnded = () => {};

if (options.socket) {
  rmSync(options.socket, { force: true });
  createServer((socket) => {
    let rest = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("end", () => triggersEnded());
    socket.on("data", (chunk) => {
      if (rest.length > 0) chunk = Buffer.concat([rest, chunk]);
      let at = 0;
      for (; at + 8 <= chunk.length; at += 8) {
        if (sent - samples.count > maxInFlight) error ??= new Error("the rate is more than it can take here");
        if (error !== null) continue;
        sent += 1;
        if (options.idle) samples.add(0);
        else call(chunk.readDoubleLE(at)).catch((reason) => (error ??= reason));
      }
      rest = chunk.subarray(at);
    });
  }).listen(options.socket);
}

ready(
  {},
  {
    async closed({ ms, inFlight }) {
      samples.clear();
      const until = performance.now() + ms;
      await Promise.all(Array.from({ length: inFlight }, () => closedLoop(until)));
      return samples.summary();
    },

    /** To be asked before triggers come; answers when the last of them has been served. */
    async triggered() {
      samples.clear();
      sent = 0;
      await new Promise((resolve) => (triggersEnded = resolve));
      while (samples.count < sent && error === null) await new Promise((resolve) => setTimeout(resolve, 1));
      if (error !== null) {
        // What is in flight would count as the next window's.
        const failure = error;
        for (let i = 0; i < 5_000 && samples.count < sent; i += 1)
          await new Promise((resolve) => setTimeout(resolve, 1));
        error = null;
        throw failure;
      }
      return samples.summary();
    },
  },
);
