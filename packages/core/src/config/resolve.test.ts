import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadPolicy } from "./load-policy.js";
import { TestDirectory } from "./test-directory.js";

let directory: TestDirectory;
let cwd: string;

beforeEach(() => {
  directory = new TestDirectory();
  cwd = directory.path;
});

afterEach(() => {
  directory.remove();
});

describe("services", () => {
  test("what is said of one wins over what is said of all, field by field", () => {
    const { services, defaults } = directory.load({
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
          matches: [{ path: { kind: "prefix", value: "/x" }, method: "POST", headers: [] }],
          timeoutMs: 2000,
          retry: { limit: 0, statuses: [500], backoff: { minMs: 10 } },
        },
        { name: "/*", matches: [{ path: { kind: "prefix", value: "" }, method: null }], timeoutMs: 0 },
      ],
    });
    expect(defaults).toMatchObject({ timeoutMs: 2000, retry: { limit: 3, backoff: { minMs: 10, maxMs: 250 } } });
  });

  test("routes hedge as their service says, or as they say themselves", () => {
    const { services } = directory.load({
      outbound: {
        services: {
          a: {
            retry: { hedge: { delay: "50ms" } },
            routes: [
              { match: { path: "/a" }, timeout: "20ms" },
              { match: { path: "/b" }, retry: { hedge: { limit: 0 } } },
            ],
          },
          b: { routes: [{ retry: { hedge: {} } }] },
        },
      },
    }).outbound;
    expect(services["a"]?.retry.hedge).toEqual({ delayMs: 50, limit: 1 });
    expect(services["a"]?.routes.map(({ retry }) => retry.hedge)).toEqual([
      { delayMs: 50, limit: 1 },
      { delayMs: 50, limit: 0 },
    ]);
    expect(services["b"]?.retry.hedge).toBe(null);
    expect(services["b"]?.routes[0]?.retry.hedge).toEqual({ delayMs: 100, limit: 1 });
  });

  test("the key of one replaces that of all", () => {
    const { services, defaults } = directory.load({
      outbound: {
        defaults: { balancer: { hash: { header: "x-user", maxLoad: 2 } } },
        services: { a: { balancer: { hash: { cookie: "session" } } }, b: {}, c: { balancer: { hash: false } } },
      },
    }).outbound;
    expect(defaults.balancer.hash).toEqual({ by: "header", name: "x-user", maxLoad: 2 });
    expect(services["a"]?.balancer.hash).toEqual({ by: "cookie", name: "session", maxLoad: 1.5 });
    expect(services["b"]?.balancer.hash).toEqual(defaults.balancer.hash);
    expect(services["c"]?.balancer.hash).toBe(null);
    expect(directory.load({}).outbound.defaults.balancer.hash).toBe(null);
  });

  test("endpoints of all kinds", () => {
    const id = "spiffe://dev.selvage/ns/shop/sa/a";
    const list = [
      "h:1",
      { address: "[::1]:2", identity: null, zone: "z", weight: 0, labels: { v: "1" }, protocol: "h2" as const },
    ];
    const { services } = directory.load({
      outbound: {
        services: {
          a: { identity: id, endpoints: list },
          b: { endpoints: { dns: "h:1" } },
          c: { endpoints: { file: "e.yaml" } },
          d: { endpoints: { local: true } },
          e: { endpoints: { dns: "_mesh._tcp.h" } },
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
    expect(services["e"]?.endpoints).toEqual({ kind: "dns", address: { host: "_mesh._tcp.h", port: 0 } });
  });

  test("names of Object's properties are no services", () => {
    const { services } = directory.load().outbound;
    for (const name of ["constructor", "__proto__", "toString"]) expect(services[name]).toBeUndefined();
  });

  test("an identity that can't be verified is warned about", () => {
    const services = { a: { identity: "spiffe://other.example/a", endpoints: ["h:1"] } };
    expect(directory.load({ outbound: { services } }).warnings).toEqual([
      'outbound.services["a"]: spiffe://other.example/a can\'t be verified: there is no trust bundle for its trust domain',
    ]);
    const files = { source: "files" as const, cert: "c", key: "k", bundle: "b" };
    const identity = { ...files, federation: { bundles: { "other.example": "o.pem" } } };
    expect(directory.load({ identity, outbound: { services } }).warnings).toEqual([]);
  });
});

describe("identity", () => {
  const ca = { source: "ca" as const, address: "ca.mesh:8080", token: "/t", bundle: "/b" };

  test("an authority is spoken to over TLS, and has to prove an id of our trust domain", () => {
    const config = directory.load({ workload: { trustDomain: "prod.example" }, identity: ca });
    expect(config.identity).toMatchObject({
      address: "https://ca.mesh:8080",
      serverId: "spiffe://prod.example/ns/selvage/sa/identity",
    });
    expect(directory.errorsOf({ identity: { ...ca, address: "http://ca:1" } })[0]).toContain('write "https://ca:1"');
    expect(directory.errorsOf({ identity: { ...ca, serverId: "spiffe://other/x" } })[0]).toContain(
      "must be in the trust domain dev.selvage",
    );
  });

  test("an SVID of several is chosen by its id, its hint, or not at all", () => {
    const identity = { source: "spiffe" as const, socket: "unix:///a.sock" };
    expect(directory.load({ identity }).identity).toMatchObject({ id: null, hint: null });
    const env = { SELVAGE_IDENTITY_HINT: "internal" };
    expect(directory.load({ identity: { ...identity, id: "spiffe://a.example/x" } }, env).identity).toMatchObject({
      id: "spiffe://a.example/x",
      hint: "internal",
    });
    expect(directory.errorsOf({ identity: { ...identity, id: "x", hint: "" } })).toEqual([
      expect.stringMatching(/identity\.id must be a SPIFFE id/),
      expect.stringMatching(/identity\.hint must not be empty/),
    ]);
  });

  test("the Workload API's address comes from its own variable", () => {
    const identity = { source: "spiffe" as const };
    expect(directory.load({ identity }, { SPIFFE_ENDPOINT_SOCKET: "unix:///a.sock" }).identity).toMatchObject({
      socket: "unix:///a.sock",
    });
    expect(directory.errorsOf({ identity })).toEqual([
      "options: identity.socket is missing; set it, or the variable SPIFFE_ENDPOINT_SOCKET",
    ]);
    expect(directory.errorsOf({ identity }, { SPIFFE_ENDPOINT_SOCKET: "/a.sock" })[0]).toContain(
      'write "unix:///a.sock"',
    );
  });

  test("fields of another source are refused with the source that they belong to", () => {
    expect(directory.errorsOf({ identity: { cert: "a" } })).toEqual([
      "options: identity.cert is not a known field here; it belongs to source: files",
    ]);
    expect(directory.errorsOf({ identity: { source: "file" } })).toEqual([
      'options: identity.source must be one of dev, files, spiffe, ca, got "file"; did you mean "files"?',
    ]);
    expect(directory.errorsOf({ identity: { source: "files", cert: "a" } })).toEqual([
      "options: identity.key is missing, and must be text",
      "options: identity.bundle is missing, and must be text",
    ]);
  });

  test("faults are warned about, and in production refused unless they are meant", () => {
    const fault = { abort: { ratio: 0.1 } };
    const outbound = {
      defaults: { routes: [{ name: "all", fault }] },
      services: { a: {}, b: { routes: [{ name: "other" }, { match: { path: "/x" }, fault }] } },
    };
    const { warnings, outbound: resolved } = directory.load({ outbound });
    expect(warnings).toEqual([
      "outbound.defaults.routes[0].fault: faults are injected into requests of the route all",
      "outbound.services.b.routes[1].fault: faults are injected into requests of the route /x",
    ]);
    expect(resolved.services["a"]?.routes[0]?.fault).toEqual({
      delay: null,
      abort: { status: 503, grpcStatus: 14, ratio: 0.1 },
    });
    const env = { NODE_ENV: "production" };
    expect(directory.errorsOf({ identity: ca, outbound }, env)).toEqual([
      expect.stringContaining("outbound.defaults.routes[0].fault must not be there where NODE_ENV is production"),
      expect.stringContaining("set outbound.allowFaults to true"),
      expect.stringContaining("outbound.services.b.routes[1].fault"),
    ]);
    expect(directory.load({ identity: ca, outbound: { ...outbound, allowFaults: true } }, env).warnings).toHaveLength(
      2,
    );
  });

  test("production refuses the development authority", () => {
    const env = { NODE_ENV: "production" };
    expect(directory.errorsOf({}, env)).toEqual([
      'configuration: identity.source must not be dev where NODE_ENV is production, got "dev"; set identity.source (SELVAGE_IDENTITY_SOURCE) to "ca", "spiffe" or "files"',
    ]);
    expect(directory.load({ identity: ca }, env).production).toBe(true);
  });

  test("tokens and keys written in by mistake are refused and not shown", () => {
    const errors = directory
      .errorsOf({
        identity: { ...ca, token: "eyJhbGciOi.secret", bundle: "-----BEGIN CERTIFICATE-----secret" },
      })
      .join("\n");
    expect(errors).toContain("identity.token must be the path of a file");
    expect(errors).toContain("identity.bundle must be the path of a file");
    expect(errors).not.toContain("secret");
    const key = directory.errorsOf({
      identity: { source: "files", cert: "c", bundle: "b", key: "-----BEGIN PRIVATE KEY-----secret" },
    });
    expect(key.join()).not.toContain("secret");
    expect(directory.errorsOf({ identity: { ...ca, token: { value: "secret" } } }).join()).not.toContain("secret");
    expect(directory.errorsOf({ identity: [{ token: "secret" }] }).join()).not.toContain("secret");
  });
});

describe("policy", () => {
  const rule = { name: "web", from: ["spiffe://td/web"], action: "allow" as const };

  test("stands in the configuration or in a file of its own", () => {
    const inline = directory.load({ inbound: { policy: { default: "deny", rules: [rule] } } });
    expect(loadPolicy(inline, cwd).decide("spiffe://td/web", "GET", "/").rule).toBe("web");
    directory.write("policy.yaml", "rules: [{ name: web, from: [spiffe://td/web], action: allow }]");
    const policy = loadPolicy(directory.load({ inbound: { policy: { default: "deny", file: "policy.yaml" } } }), cwd);
    expect(policy.decide("spiffe://td/web", "GET", "/").allow).toBe(true);
    expect(policy.decide("spiffe://td/other", "GET", "/").rule).toBe("deny");
  });

  test("what is wrong in its file is found at the start, with its line", () => {
    directory.write("policy.yaml", "default: deny\nrules:\n  - name: a\n    from: ['*']\n    action: alow\n");
    expect(directory.errorsOf({ inbound: { policy: { file: "policy.yaml" } }, drain: { delay: 0 } })).toEqual([
      'policy.yaml:5:5: rules[0].action must be one of allow, deny, audit, got "alow"; did you mean "allow"?',
    ]);
    directory.write("policy.yaml", "- a");
    expect(directory.errorsOf({ inbound: { policy: { file: "policy.yaml" } } })[0]).toContain("must be an object");
    expect(directory.errorsOf({ inbound: { policy: { file: "none.yaml" } } })[0]).toContain("cannot be read (ENOENT)");
  });

  test("says things in one place only", () => {
    directory.write("policy.yaml", "default: all-unauthenticated");
    expect(directory.errorsOf({ inbound: { policy: { file: "policy.yaml", default: "deny" } } })).toEqual([
      'policy.yaml:1:1: default contradicts inbound.policy.default, got "all-unauthenticated"; options says "deny"; say it in one place',
    ]);
    expect(directory.errorsOf({ inbound: { policy: { file: "policy.yaml", rules: [rule] } } })[0]).toContain(
      "must not stand beside file",
    );
    expect(loadPolicy(directory.load({ inbound: { policy: { file: "policy.yaml" } } }), cwd).default).toBe(
      "all-unauthenticated",
    );
  });
});
