import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { z } from "zod";
import { loadConfig } from "./load.js";
import type { MeshOptions } from "./options.js";
import { redactConfig } from "./redact.js";
import type { meshSchema } from "./schema.js";
import { TestDirectory } from "./test-directory.js";

// The types that people see are those of the schema, but for what is a union only in them: sources and endpoints.
type Written = z.input<ReturnType<typeof meshSchema>>;
const same: [(o: Omit<MeshOptions, "identity">) => Omit<Written, "identity">, (o: Part<Written>) => Part<MeshOptions>] =
  [(options) => options, (options) => options];
type Part<T extends { identity?: unknown; outbound?: unknown }> = Omit<T, "identity" | "outbound">;

let directory: TestDirectory;
let cwd: string;

beforeEach(() => {
  directory = new TestDirectory();
  cwd = directory.path;
});

afterEach(() => {
  directory.remove();
});

describe("defaults", () => {
  test("without any configuration, everything has its default", () => {
    const config = directory.load();
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
    directory.write("package.json", '{ "name": "@shop/storefront" }');
    mkdirSync(join(cwd, "src"));
    expect(loadConfig({ env: {}, cwd: join(cwd, "src") }).workload).toEqual({
      name: "storefront",
      namespace: "default",
      trustDomain: "dev.selvage",
      id: "spiffe://dev.selvage/ns/default/sa/storefront",
      zone: null,
    });
  });

  test("a package.json that can't be read or has no name doesn't matter", () => {
    directory.write("package.json", "{");
    expect(directory.load().workload.name).not.toBe("");
    expect(directory.load({ workload: { name: "web" } }).workload.name).toBe("web");
  });

  test("the result is frozen to the bottom", () => {
    const config = directory.load({
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
    directory.load(options);
    expect(options).toEqual(before);
    expect(Object.isFrozen(options.outbound)).toBe(false);
  });
});

describe("where a field comes from", () => {
  test("options over variables over the file over defaults, field by field", () => {
    directory.write("selvage.yaml", "inbound: { host: 10.0.0.1, port: 1, maxInFlight: 5 }\ndrain: { timeout: 5s }\n");
    const env = { SELVAGE_INBOUND_PORT: "2", SELVAGE_INBOUND_MAX_IN_FLIGHT: "6" };
    const config = directory.load({ inbound: { maxInFlight: 7 } }, env);
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
    directory.write("selvage.yaml", "inbound: { port: 1 }");
    expect(directory.load({ inbound: { port: undefined } }).inbound.port).toBe(1);
  });

  test("the file given wins over SELVAGE_CONFIG, and that over selvage.yaml", () => {
    directory.write("selvage.yaml", "inbound: { port: 1 }");
    directory.write("b.yaml", "inbound: { port: 2 }");
    directory.write("c.yaml", "inbound: { port: 3 }");
    const env = { SELVAGE_CONFIG: "b.yaml" };
    expect(loadConfig({ env: {}, cwd }).inbound.port).toBe(1);
    expect(loadConfig({ env, cwd }).inbound.port).toBe(2);
    expect(loadConfig({ env, cwd, file: "c.yaml" })).toMatchObject({ inbound: { port: 3 }, file: join(cwd, "c.yaml") });
  });

  test("a file that was named has to be there; an empty one says nothing", () => {
    expect(directory.errorsOf({}, { SELVAGE_CONFIG: "none.yaml" })).toEqual([
      "none.yaml: the document cannot be read (ENOENT)",
    ]);
    directory.write("selvage.yaml", "# nothing yet\n");
    expect(directory.load().inbound.port).toBe(4143);
  });

  test("lists and endpoints are replaced as a whole", () => {
    directory.write(
      "selvage.yaml",
      "outbound: { services: { a: { endpoints: { dns: 'h:1' }, timeout: 1s, routes: [{ name: x }] } } }",
    );
    const { services } = directory.load({
      outbound: { services: { a: { endpoints: { local: true }, routes: [] } } },
    }).outbound;
    expect(services["a"]).toMatchObject({ endpoints: { kind: "local" }, timeoutMs: 1000, routes: [] });
  });

  test("a time to connect that is for all services may be longer than the timeout of one", () => {
    const services = { a: { timeout: "500ms" } };
    const own = directory.load({ outbound: { services } }).outbound.services["a"];
    const all = directory.load({ outbound: { defaults: { connectTimeout: "2s" }, services } }).outbound.services["a"];
    expect([own?.connectTimeoutMs, all?.connectTimeoutMs]).toEqual([1_000, 2_000]);
  });

  test("another source of identity drops the fields of the one it replaces", () => {
    directory.write("selvage.yaml", "identity: { source: files, cert: a, key: b, bundle: c }");
    expect(directory.load({}, { SELVAGE_IDENTITY_SOURCE: "dev" }).identity.source).toBe("dev");
    expect(directory.load({}, { SELVAGE_IDENTITY_CERT: "/x" }).identity).toMatchObject({ source: "files", cert: "/x" });
  });

  test("relative paths are relative to where they were written", () => {
    mkdirSync(join(cwd, "etc"));
    directory.write(
      "etc/selvage.yaml",
      "identity: { source: files, cert: svid.pem, key: ../key.pem, bundle: /b.pem }\nstateDir: state",
    );
    const config = directory.load({ stateDir: "here" }, { SELVAGE_CONFIG: "etc/selvage.yaml" });
    expect(config).toMatchObject({
      stateDir: join(cwd, "here"),
      identity: { cert: join(cwd, "etc/svid.pem"), key: join(cwd, "key.pem"), bundle: "/b.pem" },
    });
  });
});

describe("redactConfig", () => {
  test("hides the values of headers that routes match, and keeps the rest", () => {
    const routes = [{ match: { headers: { "x-api-key": "secret" } } }];
    const config = directory.load({ outbound: { services: { a: { routes } } } });
    const shown = JSON.stringify(redactConfig(config));
    expect(shown).not.toContain("secret");
    expect(shown).toContain('"name":"x-api-key"');
    expect(JSON.parse(shown)).toMatchObject({
      inbound: { port: 4143 },
      outbound: { services: { a: { authority: "a" } } },
    });
  });
});
