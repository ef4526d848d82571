import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestDirectory } from "./test-directory.js";

let directory: TestDirectory;

beforeEach(() => {
  directory = new TestDirectory();
});

afterEach(() => {
  directory.remove();
});

describe("errors", () => {
  test("all of them at once, with file, line, path, value and remedy", () => {
    directory.write(
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
    expect(directory.errorsOf({ admin: { prot: 1 } }, { SELVAGE_DRAIN_TIMEOUT: "30", SELVAGE_FOO: "1" })).toEqual([
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
    directory.write("selvage.yaml", text);
    expect(directory.errorsOf({})[0]).toContain(problem);
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
    [
      service({ timeout: "1s", idleTimeout: "2s" }),
      'services.a.idleTimeout must be below the timeout, got "2s"; the timeout for everything is 1s',
    ],
    [
      service({ timeout: "500ms", connectTimeout: "2s" }),
      'services.a.connectTimeout must not be above the timeout, got "2s"; the timeout for everything is 500ms',
    ],
    [
      { outbound: { defaults: { timeout: 10, connectTimeout: 20 } } },
      "outbound.defaults.connectTimeout must not be above the timeout",
    ],
    [service({ routes: [{ timeout: "1s", idleTimeout: "1s" }] }), "routes[0].idleTimeout must be below the timeout"],
    [
      { outbound: { services: { a: { routes: [{ backends: [{ service: "b", weight: 0 }] }] }, b: {} } } },
      "outbound.services.a.routes[0].backends must not all have the weight 0; nothing could be sent anywhere",
    ],
    [service({ retry: { backoff: { min: "1s" } } }), "backoff.min must not be above backoff.max"],
    [
      service({ retry: { perTryTimeout: "100ms", hedge: {} } }),
      'retry.hedge.delay must be below the timeouts, got "100ms"; the time is over before, after 100ms',
    ],
    [service({ timeout: "50ms", retry: { hedge: { delay: "60ms" } } }), "retry.hedge.delay must be below the timeouts"],
    [service({ routes: [{ timeout: "50ms", retry: { hedge: {} } }] }), "routes[0].retry.hedge.delay must be below"],
    [service({ retry: { hedge: { limit: 4 } } }), "retry.hedge.limit must be at most 3"],
    [service({ failureAccrual: { minPenalty: "2m" } }), "minPenalty must not be above maxPenalty"],
    [service({ retryBudget: { ttl: "2m" } }), "must be between 1s and 60s"],
    [service({ endpoints: [] }), "endpoints must not be empty"],
    [service({ endpoints: {} }), "endpoints must name where endpoints come from"],
    [service({ endpoints: { dns: "a:1", local: true } }), "endpoints must be one of them"],
    [service({ endpoints: { dsn: "a:1" } }), 'did you mean "dns"?'],
    [service({ endpoints: { dns: "a" } }), 'endpoints.dns must be host:port, got "a"; write "a:port"'],
    [service({ endpoints: { dns: "_mesh._tcp.a:1" } }), 'write "_mesh._tcp.a"'],
    [service({ endpoints: { dns: "_mesh.a" } }), "endpoints.dns must be the name of SRV records"],
    [service({ retry: { grpcStatuses: [17] } }), "retry.grpcStatuses[0] must be at most 16"],
    [service({ balancer: { panicRatio: 2 } }), "balancer.panicRatio must be at most 1"],
    [
      service({ balancer: { hash: {} } }),
      "balancer.hash must name where the key is, got {}; write one of header and cookie",
    ],
    [service({ balancer: { hash: { header: "a", cookie: "b" } } }), "balancer.hash must name one key"],
    [service({ balancer: { hash: { header: "X-User" } } }), 'write "x-user"'],
    [service({ balancer: { hash: { header: "a", maxLoad: 0.5 } } }), "balancer.hash.maxLoad must be at least 1"],
    [service({ endpoints: "a:1" }), 'must be a list or an object, got "a:1"'],
    [service({ endpoints: ["a:1", "a:1"] }), "endpoints[1] is there twice"],
    [service({ endpoints: [{ address: "a:1", weight: 0 }] }), "must not all have the weight 0"],
    [service({ identity: "inventory" }), "identity must be a SPIFFE id"],
    [{ inbound: { adaptiveLimit: { min: 30, max: 20 } } }, "inbound.adaptiveLimit.min must not be above max, got 30"],
    [service({ routes: [{ fault: {} }] }), "routes[0].fault must say what to do"],
    [service({ routes: [{ fault: { delay: {} } }] }), "routes[0].fault.delay.duration must be text or a number"],
    [service({ routes: [{ fault: { abort: { ratio: 5 } } }] }), "routes[0].fault.abort.ratio must be at most 1"],
    [service({ routes: [{ fault: { abort: { status: 200 } } }] }), "fault.abort.status must be at least 400"],
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
    expect(directory.errorsOf(options).join("\n")).toContain(problem);
  });
});
