import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { ConfigError } from "../config/config-error.js";
import { loadConfig } from "../config/load.js";
import type { EgressOptions, MeshOptions } from "../config/options.js";
import { createTargetSource, isOutside } from "../mesh/target-source.js";
import type { DnsClient } from "../resolver/dns-client.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import { systemClock } from "../runtime/clock.js";
import { ProcessHold } from "../runtime/process-hold.js";
import { systemRandom } from "../runtime/random.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { endpointStack, outboundStack } from "../stack/outbound.js";
import { TargetTable } from "../target/target-table.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { Registry } from "../telemetry/registry.js";
import { outboundExchange } from "../testing/test-mesh.js";
import type { TargetScheme } from "./egress-rules.js";
import { EgressTargets } from "./egress-targets.js";
import { EgressTransports } from "./egress-transports.js";

/** DNS as the attacker wants it. */
function dnsOf(answers: Readonly<Record<string, readonly string[]>>): () => DnsClient {
  return () => ({
    addresses: async (name, family) =>
      family === 4 ? (answers[name] ?? []).map((address) => ({ address, ttl: 60 })) : [],
    services: async () => [],
    inHostsFile: () => false,
    system: async () => [],
    cancel() {},
  });
}

function partsOf(egress: EgressOptions, answers = {}, options: MeshOptions = {}) {
  const config = loadConfig({
    options: { ...options, outbound: { ...options.outbound, egress } },
    env: {},
    cwd: tmpdir(),
  });
  const protections: string[] = [];
  const onProtection = (reason: string) => void protections.push(reason);
  const transports = new EgressTransports(config.outbound.egress, onProtection);
  const targets = new EgressTargets({ config, transports, log() {}, onProtection, dns: dnsOf(answers) });
  const source = createTargetSource({
    config,
    registry: null,
    factory: () => ({ create: () => ({ enforcedIdentity: null, call() {}, close() {} }) }),
    egress: targets,
    log() {},
  });
  return { config, source, transports, protections };
}

function endpointsOf(egress: EgressOptions, authority: string, answers: Readonly<Record<string, readonly string[]>>) {
  const { source, protections } = partsOf(egress, answers);
  return new Promise<{ found: readonly EndpointAddress[]; protections: string[] }>((resolve, reject) => {
    const watch = source(authority, "https")!.resolver.watch({
      onUpdate(found) {
        setImmediate(() => watch.close());
        resolve({ found, protections });
      },
      onFailure: reject,
    });
  });
}

test("an allowed name has the addresses that DNS gives, at its port", async () => {
  const { found } = await endpointsOf({ allow: ["api.example.com:8443"] }, "api.example.com:8443", {
    "api.example.com": ["93.184.216.34", "93.184.216.35"],
  });
  expect(found.map(({ host, port, identity }) => [host, port, identity])).toEqual([
    ["93.184.216.34", 8443, null],
    ["93.184.216.35", 8443, null],
  ]);
});

test("a private address is for names that are listed themselves", async () => {
  const answers = { "api.example.com": ["10.1.2.3"] };
  const exact = await endpointsOf({ allow: ["api.example.com"] }, "api.example.com", answers);
  expect(exact.found[0]?.attributes).toBeUndefined();
  const any = await endpointsOf({ allow: ["*.example.com"] }, "api.example.com", answers);
  expect(any.found[0]?.attributes).toEqual({ refused: expect.stringContaining("10.1.2.3, which is private") });
  expect(any.protections).toEqual(["egress address"]);
});

test("a name that leads to a metadata service is answered 403 at once, and nothing is connected to", async () => {
  const { config, source, transports } = partsOf({ allow: ["*.example"] }, { "rebound.example": ["169.254.169.254"] });
  const metrics = new MeshMetrics(new Registry());
  const wheel = new TimerWheel(systemClock);
  const parts = { clock: systemClock, wheel, random: systemRandom, metrics };
  const factory = { create: () => ({ enforcedIdentity: null, call() {}, close() {} }) };
  const targets = new TargetTable(source, { ...parts, factory, wrap: endpointStack(systemClock) });
  const service = outboundStack({ ...parts, targets, hold: new ProcessHold(), trace: null });
  const x = outboundExchange({ authority: "rebound.example" });
  x.scheme = "https";
  const answer = await new Promise((resolve) => {
    let status = 0;
    let text = "";
    service.call(x, {
      onInformational() {},
      onHead(head) {
        status = head;
      },
      onData(chunk) {
        text += Buffer.from(chunk).toString();
      },
      onEnd: () => resolve([status, text]),
      onError: resolve,
    });
  });
  expect(answer).toEqual([
    403,
    "rebound.example resolves to 169.254.169.254, which is of this machine, its link, or a metadata service\n",
  ]);
  // What a wildcard allows is counted together.
  expect(renderPrometheus(metrics.registry)).toContain('server_address="https://*.example"');
  expect(config.outbound.egress.allow).toHaveLength(1);
  targets.close();
  transports.destroy();
});

test("a service of the configuration is not taken over by an entry, whatever the scheme", () => {
  const services = { "inventory.shop": { endpoints: ["127.0.0.1:1"] } };
  const { source } = partsOf({ allow: ["*", "http://*", "inventory.shop"] }, {}, { outbound: { services } });
  for (const scheme of ["http", "https", "connect"] as const)
    expect(source("inventory.shop", scheme)).toMatchObject({ authority: "inventory.shop" });
  expect(source("other.shop", "https")).toMatchObject({ authority: "https://other.shop", outside: true });
});

test("each scheme and port is a target of its own", () => {
  const { source } = partsOf({ allow: ["a.example", "http://a.example", "a.example:8443"] });
  const names = (["http", "https", "connect"] as const).map((scheme) => source("a.example", scheme)?.authority);
  expect(names).toEqual(["http://a.example", "https://a.example", "tcp://a.example:443"]);
  expect(source("a.example:8443", "https")?.authority).toBe("https://a.example:8443");
  expect(source("a.example:80", "https")).toBe(null);
});

test.each<[string, TargetScheme, boolean]>([
  ["api.stripe.com", "https", true],
  ["api.stripe.com", "http", true],
  ["10.0.0.1:80", "http", true],
  ["[::1]:80", "http", true],
  ["localhost:3000", "http", true],
  // Names as services have them are mistakes in the mesh's configuration.
  ["inventry", "http", false],
  ["ratings.shop", "https", false],
  ["ratings.default", "http", false],
  ["not an authority", "http", false],
])("%s, %s, is somebody else's: %s", (authority, scheme, outside) => {
  const services = { "inventory.shop": { endpoints: ["127.0.0.1:1"] }, "10.9.9.9:80": { endpoints: ["127.0.0.1:1"] } };
  const { config } = partsOf({}, {}, { outbound: { services } });
  expect(isOutside(config, null, authority, scheme)).toBe(outside);
});

test("entries that are wrong, or there twice, are refused with path, value and remedy", () => {
  const load = (allow: string[]) => {
    try {
      partsOf({ allow });
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    return "";
  };
  expect(load(["https://api.example.com/v1"])).toBe(
    'options: outbound.egress.allow[0] must have no path, got "https://api.example.com/v1"; write "https://api.example.com"',
  );
  expect(load(["api.example.com", "https://api.example.com:443"])).toContain(
    'outbound.egress.allow[1] allows what allow[0] allows, got "https://api.example.com:443"; leave one of them out',
  );
});
