import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { z } from "zod";
import { ConfigError } from "./config-error.js";
import { loadConfig } from "./load.js";
import { loadPolicy } from "./load-policy.js";
import type { MeshOptions } from "./options.js";
import { redactConfig } from "./redact.js";
import type { meshSchema } from "./schema.js";

// The types that people see are those of the schema, but for what is a union only in them: sources and endpoints.
type Written = z.input<typeof meshSchema>;
const same: [(o: Omit<MeshOptions, "identity">) => Omit<Written, "identity">, (o: Part<Written>) => Part<MeshOptions>] =
  [(options) => options, (options) => options];
type Part<T extends { identity?: unknown; outbound?: unknown }> = Omit<T, "identity" | "outbound">;

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "selvage-config-"));
});

afterEach(() => {
  rmSync(cwd, { recursive: true });
});

function write(name: string, text: string): void {
  writeFileSync(join(cwd, name), text);
}

function load(options: MeshOptions = {}, env: Record<string, string> = {}) {
  return loadConfig({ options, env, cwd });
}

function errorsOf(options: unknown, env: Record<string, string> = {}): string[] {
  try {
    loadConfig({ options: options as MeshOptions, env, cwd });
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("defaults", () => {
  test("without any configuration, everything has its default", () => {
    const config = load();
    expect(same).toHaveLength(2);
    expect(config).toMatchObject({
      stateDir: undefined,
      identity: { source: "dev", lifetimeMs: 86_400_000 },
      inbound: { port: 4143, plaintext: "allow", policy: { default: "all-authenticated", file: null, rules: [] } },
      outbound: {
        port: 4140,
        services: {},
        defaults: { timeoutMs: 0, connectTimeoutMs: 1000, retry: { limit: 1, statuses: [502, 503, 504] }, routes: [] },
        queue: { capacity: 10_000, failFastMs: 3000 },
      },
      admin: { host: "127.0.0.1", port: 4191 },
      drain: { timeoutMs: 30_000, delayMs: 0 },
      production: false,
      file: null,
      origins: {},
      warnings: [],
    });
  });

  test("the workload is called as the nearest package, without its scope", () => {
    write("package.json", '{ "name": "@shop/storefront" }');
    mkdirSync(join(cwd, "src"));
    expect(loadConfig({ env: {}, cwd: join(cwd, "src") }).workload).toEqual({
      name: "storefront",
      namespace: "default",
      trustDomain: "dev.selvage",
      id: "spiffe://dev.selvage/ns/default/sa/storefront",
    });
  });

  test("a package.json that can't be read or has no name doesn't matter", () => {
    write("package.json", "{");
    expect(load().workload.name).not.toBe("");
    expect(load({ workload: { name: "web" } }).workload.name).toBe("web");
  });

  test("the result is frozen to the bottom", () => {
    const config = load({
      outbound: { services: { "a.b": { endpoints: ["h:1"], routes: [{ match: { path: "/a" } }] } } },
    });
    const walk = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      expect(Object.isFrozen(value)).toBe(true);
      for (const inner of Object.values(value)) walk(inner);
    };
    walk(config);
  });

  test("what was given isn't changed or frozen", () => {
    const options: MeshOptions = { identity: {}, outbound: { services: { a: { endpoints: ["h:1"] } } } };
    const before = structuredClone(options);
    load(options);
    expect(options).toEqual(before);
    expect(Object.isFrozen(options.outbound)).toBe(false);
  });
});

describe("where a field comes from", () => {
  test("options over variables over the file over defaults, field by field", () => {
    write("selvage.yaml", "inbound: { host: 10.0.0.1, port: 1, maxInFlight: 5 }\ndrain: { timeout: 5s }\n");
    const env = { SELVAGE_INBOUND_PORT: "2", SELVAGE_INBOUND_MAX_IN_FLIGHT: "6" };
    const config = load({ inbound: { maxInFlight: 7 } }, env);
    expect(config.inbound).toMatchObject({ host: "10.0.0.1", port: 2, maxInFlight: 7 });
    expect(config.drain).toEqual({ timeoutMs: 5000, delayMs: 0 });
    expect({ ...config.origins }).toEqual({
      "inbound.host": "selvage.yaml:1:12",
      "inbound.port": "SELVAGE_INBOUND_PORT",
      "inbound.maxInFlight": "options",
      "drain.timeout": "selvage.yaml:2:10",
    });
  });

  test("a field that is undefined says nothing", () => {
    write("selvage.yaml", "inbound: { port: 1 }");
    expect(load({ inbound: { port: undefined } }).inbound.port).toBe(1);
  });

  test("the file given wins over SELVAGE_CONFIG, and that over selvage.yaml", () => {
    write("selvage.yaml", "inbound: { port: 1 }");
    write("b.yaml", "inbound: { port: 2 }");
    write("c.yaml", "inbound: { port: 3 }");
    const env = { SELVAGE_CONFIG: "b.yaml" };
    expect(loadConfig({ env: {}, cwd }).inbound.port).toBe(1);
    expect(loadConfig({ env, cwd }).inbound.port).toBe(2);
    expect(loadConfig({ env, cwd, file: "c.yaml" })).toMatchObject({ inbound: { port: 3 }, file: join(cwd, "c.yaml") });
  });

  test("a file that was named has to be there; an empty one says nothing", () => {
    expect(errorsOf({}, { SELVAGE_CONFIG: "none.yaml" })).toEqual(["none.yaml: the document cannot be read (ENOENT)"]);
    write("selvage.yaml", "# nothing yet\n");
    expect(load().inbound.port).toBe(4143);
  });

  test("lists and endpoints are replaced as a whole", () => {
    write(
      "selvage.yaml",
      "outbound: { services: { a: { endpoints: { dns: 'h:1' }, timeout: 1s, routes: [{ name: x }] } } }",
    );
    const { services } = load({ outbound: { services: { a: { endpoints: { local: true }, routes: [] } } } }).outbound;
    expect(services["a"]).toMatchObject({ endpoints: { kind: "local" }, timeoutMs: 1000, routes: [] });
  });

  test("another source of identity drops the fields of the one it replaces", () => {
    write("selvage.yaml", "identity: { source: files, cert: a, key: b, bundle: c }");
    expect(load({}, { SELVAGE_IDENTITY_SOURCE: "dev" }).identity.source).toBe("dev");
    expect(load({}, { SELVAGE_IDENTITY_CERT: "/x" }).identity).toMatchObject({ source: "files", cert: "/x" });
  });

  test("relative paths are relative to where they were written", () => {
    mkdirSync(join(cwd, "etc"));
    write(
      "etc/selvage.yaml",
      "identity: { source: files, cert: svid.pem, key: ../key.pem, bundle: /b.pem }\nstateDir: state",
    );
    const config = load({ stateDir: "here" }, { SELVAGE_CONFIG: "etc/selvage.yaml" });
    expect(config).toMatchObject({
      stateDir: join(cwd, "here"),
      identity: { cert: join(cwd, "etc/svid.pem"), key: join(cwd, "key.pem"), bundle: "/b.pem" },
    });
  });
});

describe("services", () => {
  test("what is said of one wins over what is said of all, field by field", () => {
    const { services, defaults } = load({
      outbound: {
        defaults: {
          timeout: "2s",
          retry: { limit: 3, backoff: { min: 10 } },
          failureAccrual: { successRate: { threshold: 0.5 } },
        },
        services: {
          "a.shop": {
            retry: { limit: 0, backoff: { max: "1s" } },
            routes: [{ match: { path: "/x/*", method: "POST" }, retry: { statuses: [500] } }, { timeout: 0 }],
          },
        },
      },
    }).outbound;
    expect(services["a.shop"]).toMatchObject({
      authority: "a.shop",
      endpoints: null,
      identity: null,
      timeoutMs: 2000,
      retry: { limit: 0, statuses: [502, 503, 504], backoff: { minMs: 10, maxMs: 1000, jitter: 1 } },
      failureAccrual: { consecutiveFailures: 7, successRate: { threshold: 0.5, windowMs: 10_000, minRequests: 5 } },
      routes: [
        {
          name: "POST /x/*",
          match: { path: { kind: "prefix", value: "/x" }, method: "POST", headers: [] },
          timeoutMs: 2000,
          retry: { limit: 0, statuses: [500], backoff: { minMs: 10 } },
        },
        { name: "/*", match: { path: { kind: "prefix", value: "" }, method: null }, timeoutMs: 0 },
      ],
    });
    expect(defaults).toMatchObject({ timeoutMs: 2000, retry: { limit: 3, backoff: { minMs: 10, maxMs: 250 } } });
  });

  test("endpoints of all kinds", () => {
    const id = "spiffe://dev.selvage/ns/shop/sa/a";
    const list = [
      "h:1",
      { address: "[::1]:2", identity: null, zone: "z", weight: 0, labels: { v: "1" }, protocol: "h2" as const },
    ];
    const { services } = load({
      outbound: {
        services: {
          a: { identity: id, endpoints: list },
          b: { endpoints: { dns: "h:1" } },
          c: { endpoints: { file: "e.yaml" } },
          d: { endpoints: { local: true } },
        },
      },
    }).outbound;
    expect(services["a"]?.endpoints).toEqual({
      kind: "list",
      list: [
        { host: "h", port: 1, identity: id, zone: null, weight: 1, protocol: "h1", labels: {} },
        { host: "::1", port: 2, identity: null, zone: "z", weight: 0, protocol: "h2", labels: { v: "1" } },
      ],
    });
    expect(services["b"]?.endpoints).toEqual({ kind: "dns", address: { host: "h", port: 1 } });
    expect(services["c"]?.endpoints).toEqual({ kind: "file", file: join(cwd, "e.yaml") });
    expect(services["d"]?.endpoints).toEqual({ kind: "local" });
  });

  test("names of Object's properties are no services", () => {
    const { services } = load().outbound;
    for (const name of ["constructor", "__proto__", "toString"]) expect(services[name]).toBeUndefined();
  });

  test("an identity that can't be verified is warned about", () => {
    const services = { a: { identity: "spiffe://other.example/a", endpoints: ["h:1"] } };
    expect(load({ outbound: { services } }).warnings).toEqual([
      'outbound.services["a"]: spiffe://other.example/a can\'t be verified: there is no trust bundle for its trust domain',
    ]);
    const files = { source: "files" as const, cert: "c", key: "k", bundle: "b" };
    const identity = { ...files, federation: { bundles: { "other.example": "o.pem" } } };
    expect(load({ identity, outbound: { services } }).warnings).toEqual([]);
  });
});

describe("identity", () => {
  const ca = { source: "ca" as const, address: "ca.mesh:8080", token: "/t", bundle: "/b" };

  test("an authority is spoken to over TLS, and has to prove an id of our trust domain", () => {
    const config = load({ workload: { trustDomain: "prod.example" }, identity: ca });
    expect(config.identity).toMatchObject({
      address: "https://ca.mesh:8080",
      serverId: "spiffe://prod.example/ns/selvage/sa/identity",
    });
    expect(errorsOf({ identity: { ...ca, address: "http://ca:1" } })[0]).toContain('write "https://ca:1"');
    expect(errorsOf({ identity: { ...ca, serverId: "spiffe://other/x" } })[0]).toContain(
      "must be in the trust domain dev.selvage",
    );
  });

  test("the Workload API's address comes from its own variable", () => {
    const identity = { source: "spiffe" as const };
    expect(load({ identity }, { SPIFFE_ENDPOINT_SOCKET: "unix:///a.sock" }).identity).toMatchObject({
      socket: "unix:///a.sock",
    });
    expect(errorsOf({ identity })).toEqual([
      "options: identity.socket is missing; set it, or the variable SPIFFE_ENDPOINT_SOCKET",
    ]);
    expect(errorsOf({ identity }, { SPIFFE_ENDPOINT_SOCKET: "/a.sock" })[0]).toContain('write "unix:///a.sock"');
  });

  test("fields of another source are refused with the source that they belong to", () => {
    expect(errorsOf({ identity: { cert: "a" } })).toEqual([
      "options: identity.cert is not a known field here; it belongs to source: files",
    ]);
    expect(errorsOf({ identity: { source: "file" } })).toEqual([
      'options: identity.source must be one of dev, files, spiffe, ca, got "file"; did you mean "files"?',
    ]);
    expect(errorsOf({ identity: { source: "files", cert: "a" } })).toEqual([
      "options: identity.key is missing, and must be text",
      "options: identity.bundle is missing, and must be text",
    ]);
  });

  test("production refuses the development authority", () => {
    const env = { NODE_ENV: "production" };
    expect(errorsOf({}, env)).toEqual([
      'configuration: identity.source must not be dev where NODE_ENV is production, got "dev"; set identity.source (SELVAGE_IDENTITY_SOURCE) to "ca", "spiffe" or "files"',
    ]);
    expect(load({ identity: ca }, env).production).toBe(true);
  });

  test("tokens and keys written in by mistake are refused and not shown", () => {
    const errors = errorsOf({
      identity: { ...ca, token: "eyJhbGciOi.secret", bundle: "-----BEGIN CERTIFICATE-----secret" },
    }).join("\n");
    expect(errors).toContain("identity.token must be the path of a file");
    expect(errors).toContain("identity.bundle must be the path of a file");
    expect(errors).not.toContain("secret");
    const key = errorsOf({
      identity: { source: "files", cert: "c", bundle: "b", key: "-----BEGIN PRIVATE KEY-----secret" },
    });
    expect(key.join()).not.toContain("secret");
    expect(errorsOf({ identity: { ...ca, token: { value: "secret" } } }).join()).not.toContain("secret");
    expect(errorsOf({ identity: [{ token: "secret" }] }).join()).not.toContain("secret");
  });
});

describe("policy", () => {
  const rule = { name: "web", from: ["spiffe://td/web"], action: "allow" as const };

  test("stands in the configuration or in a file of its own", () => {
    const inline = load({ inbound: { policy: { default: "deny", rules: [rule] } } });
    expect(loadPolicy(inline, cwd).decide("spiffe://td/web", "GET", "/").rule).toBe("web");
    write("policy.yaml", "rules: [{ name: web, from: [spiffe://td/web], action: allow }]");
    const policy = loadPolicy(load({ inbound: { policy: { default: "deny", file: "policy.yaml" } } }), cwd);
    expect(policy.decide("spiffe://td/web", "GET", "/").allow).toBe(true);
    expect(policy.decide("spiffe://td/other", "GET", "/").rule).toBe("deny");
  });

  test("what is wrong in its file is found at the start, with its line", () => {
    write("policy.yaml", "default: deny\nrules:\n  - name: a\n    from: ['*']\n    action: alow\n");
    expect(errorsOf({ inbound: { policy: { file: "policy.yaml" } }, drain: { delay: 0 } })).toEqual([
      'policy.yaml:5:5: rules[0].action must be one of allow, deny, audit, got "alow"; did you mean "allow"?',
    ]);
    write("policy.yaml", "- a");
    expect(errorsOf({ inbound: { policy: { file: "policy.yaml" } } })[0]).toContain("must be an object");
    expect(errorsOf({ inbound: { policy: { file: "none.yaml" } } })[0]).toContain("cannot be read (ENOENT)");
  });

  test("says things in one place only", () => {
    write("policy.yaml", "default: all-unauthenticated");
    expect(errorsOf({ inbound: { policy: { file: "policy.yaml", default: "deny" } } })).toEqual([
      'policy.yaml:1:1: default contradicts inbound.policy.default, got "all-unauthenticated"; options says "deny"; say it in one place',
    ]);
    expect(errorsOf({ inbound: { policy: { file: "policy.yaml", rules: [rule] } } })[0]).toContain(
      "must not stand beside file",
    );
    expect(loadPolicy(load({ inbound: { policy: { file: "policy.yaml" } } }), cwd).default).toBe("all-unauthenticated");
  });
});

describe("errors", () => {
  test("all of them at once, with file, line, path, value and remedy", () => {
    write(
      "selvage.yaml",
      [
        "inbond: {}",
        "inbound:",
        "  port: http",
        "outbound:",
        "  services:",
        "    inventory.shop:",
        "      endpoints: [10.0.0.7]",
        "      routes:",
        "        - { match: { path: /a }, timout: 1s }",
        "        - { timeout: 10 seconds }",
        "",
      ].join("\n"),
    );
    expect(errorsOf({ admin: { prot: 1 } }, { SELVAGE_DRAIN_TIMEOUT: "30", SELVAGE_FOO: "1" })).toEqual([
      "environment: SELVAGE_FOO is not a known variable; docs/configuration.md lists them",
      'selvage.yaml:3:3: inbound.port must be a number, got "http"',
      'selvage.yaml:7:19: outbound.services["inventory.shop"].endpoints[0] must be host:port, got "10.0.0.7"; write "10.0.0.7:port"',
      'selvage.yaml:9:34: outbound.services["inventory.shop"].routes[0].timout is not a known field here; did you mean "timeout"?',
      expect.stringContaining(
        'selvage.yaml:10:13: outbound.services["inventory.shop"].routes[1].timeout must be a duration',
      ),
      'options: admin.prot is not a known field here; did you mean "port"?',
      expect.stringContaining('SELVAGE_DRAIN_TIMEOUT: drain.timeout must be a duration, got "30"'),
      'selvage.yaml:1:1: inbond is not a known field here; did you mean "inbound"?',
    ]);
  });

  test.each([
    ["a: [", "is not valid YAML"],
    ["inbound: { port: 1, port: 2 }", "is not valid YAML"],
    ["inbound: !secret x", "is not valid YAML"],
    ["- a", "must be an object"],
    ["just text", "must be an object"],
    ["__proto__: { a: 1 }", "is not a known field here"],
    [`a: &a [1]\nb: &b [${"*a,".repeat(200)}]\nc: [${"*b,".repeat(200)}]`, "is not usable YAML"],
  ])("a file that says %j is refused", (text, problem) => {
    write("selvage.yaml", text);
    expect(errorsOf({})[0]).toContain(problem);
  });

  const service = (own: object) => ({ outbound: { services: { a: own } } });

  test.each([
    [{ inbound: { port: 4191 } }, "inbound.port must not be the port of admin.port, got 4191"],
    [{ admin: { port: 4140 } }, "admin.port must not be the port of outbound.port"],
    [{ inbound: { app: "127.0.0.1:4143" } }, "inbound.app must not be the port of inbound.port"],
    [{ inbound: { port: 65536 } }, "inbound.port must be at most 65535"],
    [{ inbound: { probes: { paths: ["/a/*?"] } } }, "inbound.probes.paths[0] must be an exact path"],
    [{ inbound: { policy: { default: "allow" } } }, "inbound.policy.default must be one of"],
    [{ admin: true }, "admin must be false or an object, got true"],
    [{ workload: { name: "a/b" } }, "workload.name must be a segment of a SPIFFE id"],
    [{ workload: { trustDomain: "Prod" } }, 'write "prod"'],
    [
      service({ timeout: "1s", retry: { perTryTimeout: "1s" } }),
      "outbound.services.a.retry.perTryTimeout must be below the timeout",
    ],
    [
      service({ timeout: "1s", routes: [{ retry: { perTryTimeout: 2000 } }] }),
      "outbound.services.a.routes[0].retry.perTryTimeout",
    ],
    [
      { outbound: { defaults: { timeout: 10, retry: { perTryTimeout: 20 } } } },
      "outbound.defaults.retry.perTryTimeout must be below",
    ],
    [service({ retry: { backoff: { min: "1s" } } }), "backoff.min must not be above backoff.max"],
    [service({ failureAccrual: { minPenalty: "2m" } }), "minPenalty must not be above maxPenalty"],
    [service({ retryBudget: { ttl: "2m" } }), "must be between 1s and 60s"],
    [service({ endpoints: [] }), "endpoints must not be empty"],
    [service({ endpoints: {} }), "endpoints must name where endpoints come from"],
    [service({ endpoints: { dns: "a:1", local: true } }), "endpoints must be one of them"],
    [service({ endpoints: { dsn: "a:1" } }), 'did you mean "dns"?'],
    [service({ endpoints: "a:1" }), 'must be a list or an object, got "a:1"'],
    [service({ endpoints: ["a:1", "a:1"] }), "endpoints[1] is there twice"],
    [service({ endpoints: [{ address: "a:1", weight: 0 }] }), "must not all have the weight 0"],
    [service({ identity: "inventory" }), "identity must be a SPIFFE id"],
    [service({ routes: [{ match: { path: "/a/:id" } }] }), "must not have parameters"],
    [service({ routes: [{ match: { method: "get" } }] }), 'write "GET"'],
    [service({ routes: [{ match: { headers: { "X-A": "1" } } }] }), 'write "x-a"'],
    [
      service({ routes: [{ match: { path: "/a" } }, { match: { path: "/a" } }] }),
      "routes[1].match matches what routes[0] matches",
    ],
    [service({ routes: [{ name: "x" }, { name: "x", match: { path: "/a" } }] }), "routes[1].name must be unique"],
    [{ outbound: { services: { "http://a": {} } } }, 'must be an authority, got "http://a"; write "a"'],
    [
      {
        identity: {
          source: "files",
          cert: "c",
          key: "k",
          bundle: "b",
          federation: { bundles: { "dev.selvage": "x" } },
        },
      },
      "own trust domain",
    ],
    [[], "options: the document must be an object"],
    ["prod", "options: the document must be an object"],
  ])("%j", (options, problem) => {
    expect(errorsOf(options).join("\n")).toContain(problem);
  });
});

describe("redactConfig", () => {
  test("hides the values of headers that routes match, and keeps the rest", () => {
    const routes = [{ match: { headers: { "x-api-key": "secret" } } }];
    const config = load({ outbound: { services: { a: { routes } } } });
    const shown = JSON.stringify(redactConfig(config));
    expect(shown).not.toContain("secret");
    expect(shown).toContain('"name":"x-api-key"');
    expect(JSON.parse(shown)).toMatchObject({
      inbound: { port: 4143 },
      outbound: { services: { a: { authority: "a" } } },
    });
  });
});
