// A server that takes uploads, started as `replica.mjs` is: reads them to their end, or CHAOS_RECEIVER says what it does after 1 MiB.
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { createMesh } from "@selvage/core";
import type { Serving } from "./replica.js";

/** What a receiver has seen. */
export interface Received {
  readonly requests: number;
  readonly bytes: number;
}

const enough = 1_048_576;
const { CHAOS_RECEIVER = "reads", HOST = "127.0.0.1", PORT = "0" } = process.env;
const seen = { requests: 0, bytes: 0 };

const listener: RequestListener = (req, res) => {
  seen.requests++;
  const rest = Number(req.headers["content-length"]) / 8;
  let read = 0;
  let rested = false;
  req.on("error", () => {});
  req.on("data", (chunk: Buffer) => {
    read += chunk.length;
    seen.bytes += chunk.length;
    if (CHAOS_RECEIVER !== "reads" && read >= enough) {
      req.pause();
      if (CHAOS_RECEIVER === "dies") process.kill(process.pid, "SIGKILL");
      res.statusCode = 503;
      res.end();
    } else if (!rested && read > rest) {
      rested = true;
      req.pause();
      setTimeout(() => req.resume(), 1_000);
    }
  });
  req.on("end", () => res.end());
};

const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(), 500).unref();
process.on("message", () => process.send?.([seen]));

const mesh =
  process.argv[2] === "sdk"
    ? await createMesh({ workload: { name: "app" }, admin: false, drain: { timeout: "5s" }, inbound: { host: HOST } })
    : null;
const server = mesh?.createServer(listener) ?? createServer(listener);
server.listen(Number(PORT), HOST, () => {
  process.send?.({ ports: [(server.address() as AddressInfo).port] } satisfies Serving);
});
