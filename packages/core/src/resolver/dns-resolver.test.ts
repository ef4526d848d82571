import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import type { DnsAddress, DnsClient, DnsService } from "./dns-client.js";
import { DnsResolver, type DnsResolverOptions } from "./dns-resolver.js";
import type { EndpointAddress } from "./resolver.js";

/** A DNS whose records a test writes. */
class FakeDns implements DnsClient {
  readonly a = new Map<string, readonly DnsAddress[] | string>();
  readonly aaaa = new Map<string, readonly DnsAddress[] | string>();
  readonly srv = new Map<string, readonly DnsService[] | string>();
  readonly hosts = new Map<string, readonly string[]>();
  /** Names in search domains: only the system's resolver finds them. */
  readonly searched = new Map<string, readonly string[]>();
  readonly asked: string[] = [];
  pending: (() => void)[] | null = null;
  canceled = false;

  async addresses(name: string, family: 4 | 6): Promise<readonly DnsAddress[]> {
    this.asked.push(`${family === 4 ? "A" : "AAAA"} ${name}`);
    if (this.pending !== null) await new Promise<void>((resolve) => this.pending!.push(resolve));
    return answer((family === 4 ? this.a : this.aaaa).get(name));
  }

  async services(name: string): Promise<readonly DnsService[]> {
    this.asked.push(`SRV ${name}`);
    return answer(this.srv.get(name));
  }

  inHostsFile(name: string): boolean {
    return this.hosts.has(name);
  }

  async system(name: string): Promise<readonly string[]> {
    this.asked.push(`system ${name}`);
    return answer(this.hosts.get(name) ?? this.searched.get(name));
  }

  cancel(): void {
    this.canceled = true;
  }
}

function answer<T>(records: readonly T[] | string | undefined): readonly T[] {
  if (records === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
  if (typeof records === "string") throw Object.assign(new Error(records), { code: records });
  return records;
}

const name = "inventory.test";
const at = (address: string, ttl = 30): DnsAddress => ({ address, ttl });

class Watched {
  readonly clock = new ManualClock();
  readonly updates: string[][] = [];
  readonly endpoints: (readonly EndpointAddress[])[] = [];
  readonly failures: string[] = [];
  readonly close: () => void;

  constructor(dns: FakeDns, options: Partial<DnsResolverOptions> = {}) {
    const resolver = new DnsResolver({
      name,
      port: 80,
      identity: null,
      clock: this.clock,
      client: dns,
      family: 4,
      ...options,
    });
    const watch = resolver.watch({
      onUpdate: (endpoints) => {
        this.endpoints.push(endpoints);
        this.updates.push(endpoints.map(({ host, port }) => `${host} ${port}`));
      },
      onFailure: (error) => this.failures.push(error.message),
    });
    this.close = () => watch.close();
  }

  /** Lets time pass, and then the promises that became due. */
  async after(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settled();
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("all addresses of a name are endpoints, with the port, identity and attributes given", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.2"), at("10.0.0.1"), at("10.0.0.2")]);
  const identity = "spiffe://test/ns/a/sa/inventory";
  const watched = new Watched(dns, { port: 4143, identity, attributes: { protocol: "h2" } });
  await settled();
  expect(watched.endpoints).toEqual([
    [
      { host: "10.0.0.1", port: 4143, identity, weight: 1, attributes: { protocol: "h2" } },
      { host: "10.0.0.2", port: 4143, identity, weight: 1, attributes: { protocol: "h2" } },
    ],
  ]);
});

test("it asks again when the shortest TTL is over, and tells what changed only", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", 20), at("10.0.0.2", 7)]);
  const watched = new Watched(dns);
  await settled();
  await watched.after(6_999);
  expect(dns.asked.length).toBe(1);
  dns.a.set(name, [at("10.0.0.2", 7), at("10.0.0.1", 20)]);
  await watched.after(1);
  expect(dns.asked.length).toBe(2);
  dns.a.set(name, [at("10.0.0.3", 7)]);
  await watched.after(7_000);
  expect(watched.updates).toEqual([["10.0.0.1 80", "10.0.0.2 80"], ["10.0.0.3 80"]]);
});

test.each([
  [0, 1_000],
  [86_400, 60_000],
])("a TTL of %i s is kept for %i ms", async (ttl, ms) => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", ttl)]);
  const watched = new Watched(dns);
  await settled();
  await watched.after(ms - 1);
  expect(dns.asked.length).toBe(1);
  await watched.after(1);
  expect(dns.asked.length).toBe(2);
});

test("addresses of the other family are used when there are none of the first", async () => {
  const dns = new FakeDns();
  dns.aaaa.set(name, [at("fd00::1")]);
  const watched = new Watched(dns);
  await settled();
  expect(watched.updates).toEqual([["fd00::1 80"]]);
  expect(dns.asked).toEqual([`A ${name}`, `AAAA ${name}`]);
});

test("SRV records bring ports and weights; the lowest priority is used", async () => {
  const dns = new FakeDns();
  dns.srv.set("_mesh._tcp.inventory.test", [
    { name: "a.test", port: 4143, priority: 1, weight: 30 },
    { name: "b.test", port: 4144, priority: 1, weight: 0 },
    { name: "spare.test", port: 4145, priority: 2, weight: 10 },
  ]);
  dns.a.set("a.test", [at("10.0.0.1", 9)]);
  dns.a.set("b.test", [at("10.0.0.2", 4)]);
  const watched = new Watched(dns, { name: "_mesh._tcp.inventory.test", port: 0 });
  await settled();
  expect(watched.endpoints[0]?.map(({ host, port, weight }) => [host, port, weight])).toEqual([
    ["10.0.0.1", 4143, 30],
    ["10.0.0.2", 4144, 1],
  ]);
  await watched.after(4_000);
  expect(dns.asked.filter((asked) => asked.startsWith("SRV")).length).toBe(2);
});

test("an SRV target that can't be resolved doesn't keep the others from being used", async () => {
  const dns = new FakeDns();
  dns.srv.set("_mesh._tcp.inventory.test", [
    { name: "a.test", port: 4143, priority: 0, weight: 0 },
    { name: "gone.test", port: 4144, priority: 0, weight: 0 },
  ]);
  dns.a.set("a.test", [at("10.0.0.1", 9)]);
  const watched = new Watched(dns, { name: "_mesh._tcp.inventory.test", port: 0 });
  await settled();
  expect(watched.updates).toEqual([["10.0.0.1 4143"]]);
});

test("an SRV record that says that the service isn't there leaves no endpoints", async () => {
  const dns = new FakeDns();
  dns.srv.set("_mesh._tcp.inventory.test", [{ name: "", port: 0, priority: 0, weight: 0 }]);
  const watched = new Watched(dns, { name: "_mesh._tcp.inventory.test", port: 0 });
  await settled();
  expect([watched.updates, watched.failures]).toEqual([[[]], []]);
});

test("what is known stays when DNS fails, for as long as that lasts, and is tried after 5, 10, 20, 30, 30 s", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", 10)]);
  const watched = new Watched(dns);
  await settled();
  dns.a.set(name, "ESERVFAIL");
  dns.searched.set(name, []);
  await watched.after(10_000);
  for (const ms of [5_000, 10_000, 20_000, 30_000, 30_000]) {
    const before = watched.failures.length;
    await watched.after(ms - 1);
    expect(watched.failures.length).toBe(before);
    await watched.after(1);
    expect(watched.failures.length).toBe(before + 1);
  }
  expect(watched.failures[0]).toBe(`DNS does not answer for ${name} (ESERVFAIL)`);
  expect(watched.updates).toEqual([["10.0.0.1 80"]]);
  dns.a.set(name, [at("10.0.0.1", 10)]);
  await watched.after(30_000);
  // Told again, since it takes the failure back.
  expect(watched.updates).toEqual([["10.0.0.1 80"], ["10.0.0.1 80"]]);
});

test("a name that is gone is believed to be gone at the third answer", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", 10)]);
  const watched = new Watched(dns);
  await settled();
  dns.a.delete(name);
  await watched.after(10_000);
  await watched.after(5_000);
  expect([watched.updates.length, watched.failures.length]).toEqual([1, 2]);
  await watched.after(10_000);
  expect(watched.updates).toEqual([["10.0.0.1 80"], []]);
  expect(watched.failures.at(-1)).toBe(`DNS knows no address of ${name} (ENOTFOUND)`);
});

test("a failure between such answers starts the count anew", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", 10)]);
  const watched = new Watched(dns);
  await settled();
  dns.a.delete(name);
  await watched.after(10_000);
  await watched.after(5_000);
  dns.a.set(name, "ETIMEOUT");
  await watched.after(10_000);
  dns.a.delete(name);
  await watched.after(20_000);
  expect(watched.updates.length).toBe(1);
});

test("names of the hosts file and of localhost are the system's affair, and no server is asked", async () => {
  const dns = new FakeDns();
  dns.hosts.set(name, ["::1", "127.0.0.1"]);
  dns.searched.set("app.localhost", ["127.0.0.1"]);
  const watched = new Watched(dns);
  const local = new Watched(dns, { name: "app.localhost" });
  await settled();
  expect([watched.updates, local.updates]).toEqual([[["127.0.0.1 80"]], [["127.0.0.1 80"]]]);
  expect(dns.asked).toEqual([`system ${name}`, "system app.localhost"]);
});

test("a name that only the system's search domains make complete is found", async () => {
  const dns = new FakeDns();
  dns.searched.set("inventory.shop.svc", ["10.0.0.7"]);
  const watched = new Watched(dns, { name: "inventory.shop.svc" });
  await settled();
  expect(watched.updates).toEqual([["10.0.0.7 80"]]);
  await watched.after(10_000);
  expect(dns.asked.filter((asked) => asked.startsWith("system")).length).toBe(2);
});

test("only one question is asked at a time, and none after the end", async () => {
  const dns = new FakeDns();
  dns.a.set(name, [at("10.0.0.1", 1)]);
  dns.pending = [];
  const watched = new Watched(dns);
  await watched.after(100_000);
  expect(dns.asked.length).toBe(1);
  watched.close();
  for (const release of dns.pending) release();
  dns.pending = null;
  await watched.after(100_000);
  expect([dns.asked.length, watched.updates, dns.canceled]).toEqual([1, [], true]);
});
