import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { listen, type MeshedKind, meshedKinds, startCalling, startServing } from "./meshed-ends.js";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Passes bytes on, and counts connections. */
async function relayTo(address: string): Promise<{ address: string; opened: number; closed: number }> {
  const sockets = new Set<Socket>();
  const [host, port] = address.split(":");
  const server = createServer((socket) => {
    const other = connect(Number(port), host);
    for (const one of [socket, other]) {
      sockets.add(one);
      one.on("error", () => {});
    }
    relay.opened++;
    socket.on("close", () => {
      relay.closed++;
      other.destroy();
    });
    other.on("close", () => socket.destroy());
    socket.pipe(other).pipe(socket);
  });
  const bound = await listen(server as never);
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const relay = { address: `127.0.0.1:${bound.port}`, opened: 0, closed: 0 };
  return relay;
}

async function versionOf(kind: MeshedKind, stateDir: string, name: string) {
  const version = { name, hits: 0 };
  const identity = { source: "dev" } as const;
  const end = await startServing(kind, { workload: { name, namespace: "test" }, stateDir, identity }, (_req, res) => {
    version.hits++;
    res.end(name);
  });
  stops.push(() => end.stop());
  const relay = await relayTo(end.address);
  const service = { endpoints: [relay.address], identity: `spiffe://dev.selvage/ns/test/sa/${name}` };
  return { version, relay, service };
}

const pairs = meshedKinds.flatMap((client) => meshedKinds.map((server) => [client, server] as const));

test.each(pairs)(
  "%s to %s: weights in a file move traffic; no request fails, no connection closes",
  async (...kinds) => {
    const [client, server] = kinds;
    const directory = mkdtempSync(join(tmpdir(), "canary-"));
    stops.push(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, "routes.yaml");
    const write = (text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const weigh = (one: number, two: number) =>
      write(`
- match: { path: { regex: "/item/[0-9]+" } }
  backends: [{ service: v1.test, weight: ${one} }, { service: v2.test, weight: ${two} }]
`);
    weigh(1, 0);
    const stateDir = join(directory, "state");
    const one = await versionOf(server, stateDir, "v1");
    const two = await versionOf(server, stateDir, "v2");
    const events: string[] = [];
    const calling = await startCalling(
      client,
      {
        workload: { name: "caller", namespace: "test" },
        stateDir,
        identity: { source: "dev" },
        outbound: {
          services: { "app.test": { routes: { file } }, "v1.test": one.service, "v2.test": two.service },
        },
      },
      (_level, event, fields) => events.push(`${event} ${String(fields?.["error"] ?? "")}`),
    );
    stops.push(() => calling.stop());
    const app = calling.client("app.test");
    const outcomes = new Map<string, number>();
    let stopped = false;
    const load = async (): Promise<void> => {
      while (!stopped) {
        const { status, text } = await app.send({ path: "/item/7" });
        const outcome = `${status} ${text}`;
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    };
    const loads = Promise.all([load(), load(), load(), load()]);
    const more = async (version: { hits: number }) => {
      const before = version.hits;
      await expect.poll(() => version.hits, { timeout: 10_000 }).toBeGreaterThan(before + 20);
    };
    /** The other one gets nothing while this one gets requests. */
    const only = async (version: { hits: number }, other: { hits: number }) => {
      const quiet = async () => {
        const before = other.hits;
        await more(version);
        return other.hits - before;
      };
      await expect.poll(quiet, { timeout: 10_000 }).toBe(0);
    };

    await only(one.version, two.version);
    weigh(1, 1);
    await more(two.version);
    await more(one.version);
    const opened = one.relay.opened;
    weigh(0, 1);
    await only(two.version, one.version);
    weigh(0, 0);
    if (client === "sdk") {
      await expect.poll(() => events.find((event) => event.startsWith("routes.rejected"))).toContain("weight 0");
    }
    await only(two.version, one.version);
    weigh(1, 0);
    await only(one.version, two.version);
    stopped = true;
    await loads;
    expect([...outcomes.keys()].sort()).toEqual(["200 v1", "200 v2"]);
    expect({ opened: one.relay.opened, closed: [one.relay.closed, two.relay.closed] }).toEqual({
      opened,
      closed: [0, 0],
    });
  },
);
