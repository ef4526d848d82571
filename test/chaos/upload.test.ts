import type { MeshOptions } from "@selvage/core";
import { afterEach, describe, expect, test } from "vitest";
import { Memory } from "./memory.js";
import { type CellName, cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { Program } from "./program.js";
import type { Received } from "./receiver.js";
import { freePort, type Replica } from "./replica-process.js";
import { record } from "./results.js";
import type { UploadResult, UploadTask } from "./uploader.js";

const megabyte = 1_048_576;
const bytes = Number(process.env["CHAOS_UPLOAD_MIB"] ?? 1_024) * megabyte;
const authority = "store.test";
let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

interface Uploaded extends UploadResult {
  /** Of each process that the bytes went through, with the mesh in it or not, in MiB. */
  readonly grownMiB: readonly number[];
  readonly received: readonly Received[];
}

async function upload(
  name: CellName,
  replicas: readonly (Replica | { readonly address: string })[],
): Promise<Uploaded> {
  const services = { [authority]: { ...listed(replicas), retry: { limit: 3 } } };
  const mesh: MeshOptions = {
    workload: { name: "uploader" },
    stateDir: cell!.stateDir,
    admin: false,
    outbound: { port: 0, services },
  };
  const shim = name.startsWith("shim") ? await cell!.callingShim(mesh) : null;
  // The header says that it may be repeated: only its size keeps it from being.
  const base = { authority, bytes, headers: { "idempotency-key": "one" } };
  const task: UploadTask = shim === null ? { ...base, mesh } : { ...base, proxyPort: shim.port };
  const uploader = new Program("uploader", []);
  await uploader.ask(task as never);
  const living = replicas.filter((replica) => "meshed" in replica);
  const passed = [uploader, ...(shim === null ? [] : [shim.program]), ...living.map(({ meshed }) => meshed)];
  const memories = passed.map((program) => new Memory(program));
  const result = await uploader.ask<UploadResult>("go");
  const grownMiB = passed.flatMap((program, i) =>
    program.running ? [Math.round(memories[i]!.grownBytes / megabyte)] : [],
  );
  const received = await Promise.all(living.map((replica) => replica.tell<Received[]>("seen")));
  return { ...result, grownMiB, received: received.flat() };
}

describe.each(cellNames)("a large upload goes through a retrying route in bounded memory, %s", (name) => {
  const most = 96;

  test("one replica refuses connections, the other reads with a rest", async () => {
    cell = await MeshedCell.start(name);
    const good = await cell.replica({ program: "receiver" });
    const result = await upload(name, [{ address: `127.0.0.1:${await freePort()}` }, good]);
    record(`upload of ${bytes / megabyte} MiB, one replica refuses connections, ${name}`, result);
    expect([result.status, result.received]).toEqual([200, [{ requests: 1, bytes }]]);
    for (const grown of result.grownMiB) expect(grown).toBeLessThan(most);
  });

  test("the replica answers 503 after 1 MiB", async () => {
    cell = await MeshedCell.start(name);
    const replica = await cell.replica({ program: "receiver", env: { CHAOS_RECEIVER: "503" } });
    const result = await upload(name, [replica]);
    record(`upload of ${bytes / megabyte} MiB, 503 after 1 MiB, ${name}`, result);
    expect([result.status, result.received[0]?.requests]).toEqual([503, 1]);
    for (const grown of result.grownMiB) expect(grown).toBeLessThan(most);
  });

  test("the replica dies after 1 MiB", async () => {
    cell = await MeshedCell.start(name);
    const dying = await cell.replica({ program: "receiver", env: { CHAOS_RECEIVER: "dies" } });
    const result = await upload(name, [dying]);
    record(`upload of ${bytes / megabyte} MiB, the replica dies after 1 MiB, ${name}`, result);
    expect(result.status).toBe(502);
    for (const grown of result.grownMiB) expect(grown).toBeLessThan(most);
  });
});
