import type { MeshOptions } from "@selvage/core";
import { fetchBundle, parseBundleDocument, SpiffeId } from "@selvage/tls-identity";
import { afterEach, describe, expect, test } from "vitest";
import { Load, metric, until } from "./identity-load.js";
import { refusedPeers, startCalling, startServing } from "./meshed-ends.js";
import { Spire, type SpirePrograms, spirePrograms } from "./spire.js";

/** SPIRE's own server and agents, two trust domains of them; in the unit tests an agent of ours stands in for them. */
const programs = spirePrograms();
if (programs === null) console.info("skipped: spire-server and spire-agent are neither in SPIRE_BIN nor in the path");

const rotations = 'selvage_identity_rotations_total{result="ok"}';
const lifetimeSeconds = 20;
const patience = { timeout: 180_000 };

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function startSpire(trustDomain: string): Promise<Spire> {
  const spire = new Spire(programs as SpirePrograms, trustDomain);
  stops.push(() => spire.stop());
  await spire.start();
  return spire;
}

const idOf = (spire: Spire, name: string) => `spiffe://${spire.trustDomain}/ns/test/sa/${name}`;

async function optionsOf(spire: Spire, name: string, federatesWith: readonly string[] = []): Promise<MeshOptions> {
  const entry = { id: idOf(spire, name), lifetimeSeconds, federatesWith };
  return {
    workload: { name, namespace: "test", trustDomain: spire.trustDomain },
    identity: { source: "spiffe", socket: await spire.agentFor(name, entry) },
  };
}

async function serving(kind: "sdk" | "shim", options: MeshOptions) {
  const end = await startServing(kind, options, (_req, res) => res.end("served"));
  stops.push(() => end.stop());
  return end;
}

async function calling(kind: "sdk" | "shim", options: MeshOptions) {
  const end = await startCalling(kind, options);
  stops.push(() => end.stop());
  return end;
}

describe.skipIf(programs === null)("workloads of SPIRE agents", () => {
  test("lose no request while their SVIDs rotate, and then the authority too", patience, async () => {
    const spire = await startSpire("spire.example");
    const app = await serving("shim", await optionsOf(spire, "app"));
    const services = { "app.test": { endpoints: [{ address: app.address, identity: idOf(spire, "app") }] } };
    const caller = await calling("sdk", { ...(await optionsOf(spire, "caller")), outbound: { services } });
    const load = new Load(
      [1, 2].map(() => caller.client("app.test")),
      20,
    );
    const rotated = async () => {
      const pages = await Promise.all([app.metrics(), caller.metrics()]);
      return Math.min(...pages.map((page) => metric(page, rotations)));
    };
    await until(async () => (await rotated()) >= 3);
    spire.rotateAuthority();
    const before = await rotated();
    await until(async () => (await rotated()) >= before + 3);
    const { served, failures } = await load.stop();
    expect([...failures]).toEqual([]);
    expect(served).toBeGreaterThan(50);
  });

  test("of two trust domains talk where they federate, and are refused where one does not", patience, async () => {
    const [one, two] = await Promise.all([startSpire("one.example"), startSpire("two.example")]);
    one.federateWith(two.endpoint);
    two.federateWith(one.endpoint);
    const friendly = await serving("shim", await optionsOf(one, "friendly", ["two.example"]));
    const shy = await serving("sdk", await optionsOf(one, "shy"));
    const services = {
      "friendly.test": { endpoints: [{ address: friendly.address, identity: idOf(one, "friendly") }] },
      "shy.test": { endpoints: [{ address: shy.address, identity: idOf(one, "shy") }] },
    };
    const outbound = { services, queue: { failFast: "50ms" } } as const;
    const caller = await calling("sdk", { ...(await optionsOf(two, "caller", ["one.example"])), outbound });
    const recluse = await calling("shim", { ...(await optionsOf(two, "recluse")), outbound });

    const answer = async (end: typeof caller, authority: string) => {
      const { status, text, headers } = await end.client(authority).send({ path: "/" });
      return status === 200 ? text : `${status} ${headers["l5d-proxy-error"]}`;
    };
    expect(await answer(caller, "friendly.test")).toBe("served");
    expect(refusedPeers(await friendly.metrics()).size + refusedPeers(await caller.metrics()).size).toBe(0);

    // The server has no bundle of the caller's domain, then the caller none of the server's.
    expect(await answer(caller, "shy.test")).toMatch(/^50[23] /);
    await expect.poll(async () => [...refusedPeers(await shy.metrics()).keys()]).toHaveLength(1);
    expect(await answer(recluse, "friendly.test")).toMatch(/^50[23] .*no trust bundle for one\.example/);
    expect(refusedPeers(await friendly.metrics()).size).toBe(0);
  });

  test("bundle endpoints are believed by their SVIDs", patience, async () => {
    const { endpoint } = await startSpire("three.example");
    const { trustDomain, url } = endpoint;
    const bundle = parseBundleDocument(trustDomain, endpoint.bundle);
    const by = (id: string) => ({ profile: "https_spiffe", endpointId: SpiffeId.parse(id), bundle }) as const;
    const fetched = await fetchBundle({ trustDomain, url, authentication: by(endpoint.serverId) });
    expect(fetched.roots).toEqual(bundle.roots);
    expect(fetched.refreshHintMs).toBeGreaterThan(0);
    const wrong = by(`spiffe://${trustDomain}/somebody/else`);
    await expect(fetchBundle({ trustDomain, url, authentication: wrong })).rejects.toThrow(/leaf-id-unexpected/);
  });
});
