import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bundle, endPrograms, Program } from "./program.js";
import { record } from "./results.js";
import type { UploadResult, UploadTask } from "./uploader.js";

const megabyte = 1_048_576;
const bytes = 256 * megabyte;
const authority = "store.test";
let stateDir = "";
let servers: Server[] = [];

beforeEach(async () => {
  await bundle();
  stateDir = mkdtempSync(join(tmpdir(), "chaos-"));
  servers = [];
});

afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await endPrograms();
  rmSync(stateDir, { recursive: true, force: true });
});

function listening(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

/** Reads `limit` bytes, with a rest after the first eighth, and then does something else. */
async function reader(limit: number, then: RequestListener) {
  const seen = { requests: 0, bytes: 0 };
  const port = await listening((req, res) => {
    seen.requests++;
    let read = 0;
    let rested = false;
    req.on("error", () => {});
    req.on("data", (chunk: Buffer) => {
      read += chunk.length;
      seen.bytes += chunk.length;
      if (!rested && read > limit / 8) {
        rested = true;
        req.pause();
        setTimeout(() => req.resume(), 1_000);
      }
      if (read >= limit && limit < bytes) {
        req.pause();
        then(req, res);
      }
    });
    req.on("end", () => then(req, res));
  });
  return { seen, port };
}

async function upload(ports: readonly number[]): Promise<UploadResult> {
  const task: UploadTask = {
    authority,
    bytes,
    // Says that it may be repeated: only its size keeps it from being.
    headers: { "idempotency-key": "one" },
    options: {
      workload: { name: "uploader" },
      stateDir,
      admin: false,
      outbound: {
        services: { [authority]: { endpoints: ports.map((port) => `127.0.0.1:${port}`), retry: { limit: 3 } } },
      },
    },
  };
  return new Program("uploader", []).ask<UploadResult>({ ...task });
}

test("256 MiB go through a retrying route in bounded memory, whatever the replicas do", async () => {
  const good = await reader(bytes, (_req, res) => res.end());
  const gone = await listening(() => {});
  servers.pop()!.close();
  const refused = await upload([gone, good.port]);

  const overloaded = await reader(megabyte, (_req, res) => {
    res.statusCode = 503;
    res.end();
  });
  const early = await upload([overloaded.port]);

  const dying = await reader(megabyte, (req) => req.socket.resetAndDestroy());
  const reset = await upload([dying.port]);

  const row = ({ status, milliseconds, grownBytes }: UploadResult) => ({
    status,
    milliseconds,
    grownMiB: Math.round(grownBytes / megabyte),
  });
  record("256 MiB upload", {
    "one replica refuses connections, the other reads with a rest of 1 s": row(refused),
    "the replica answers 503 after 1 MiB": row(early),
    "the replica resets the connection after 1 MiB": row(reset),
  });
  expect([refused.status, good.seen.bytes, good.seen.requests]).toEqual([200, bytes, 1]);
  expect([early.status, overloaded.seen.requests]).toEqual([503, 1]);
  expect([reset.status, dying.seen.requests]).toEqual([502, 1]);
  for (const { grownBytes } of [refused, early, reset]) expect(grownBytes).toBeLessThan(96 * megabyte);
});
