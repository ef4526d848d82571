import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { transportErrors } from "@selvage/http2";
import { ScriptedService } from "@selvage/http2/testing";
import { describe, expect, test } from "vitest";
import { AdaptiveLimit } from "../../packages/core/src/resilience/adaptive-limit.js";
import {
  describeInbound,
  describeOutbound,
  endpointLayers,
  inboundLayers,
  meshErrors,
  outboundLayers,
} from "../../packages/core/src/spi.js";
import { TestMesh } from "../../packages/core/src/testing/test-mesh.js";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe("docs/errors.md", () => {
  const rows = new Map(
    [...read("docs/errors.md").matchAll(/^\| `(SELVAGE_ERR_\w+)` \| (\d+) \| (\d+) /gm)].map(
      ([, code, status, grpcStatus]) => [code!, { status: Number(status), grpcStatus: Number(grpcStatus) }],
    ),
  );

  test("has every code with its HTTP and its gRPC status, and no other", () => {
    expect(Object.fromEntries(rows)).toEqual({ ...meshErrors, ...transportErrors });
  });
});

describe("ARCHITECTURE.md", () => {
  const page = read("ARCHITECTURE.md");

  test("says the order of the outbound layers", () => {
    const mesh = new TestMesh(new ScriptedService());
    mesh.target.start();
    const [endpoint] = mesh.target.balancer.endpoints;
    const outer = outboundLayers({
      ...mesh,
      random: Math.random,
      targets: { find: () => null, explainUnknown: () => "" },
      faults: true,
    });
    expect(page).toContain(
      `- outbound: ${describeOutbound(outer, endpointLayers(endpoint!, endpoint!.transport, mesh.clock))}\n`,
    );
  });

  test("says the order of the inbound layers", () => {
    const { clock, metrics } = new TestMesh(new ScriptedService());
    const verdict = { allow: true, rule: "", reason: "", audited: false };
    const layers = inboundLayers(
      {
        clock,
        metrics,
        serverAddress: "",
        authorizer: { decide: () => verdict },
        limiter: { take: () => 0 },
        maxInFlight: 1,
        adaptiveLimit: new AdaptiveLimit({ min: 1, max: 1 }, Math.random),
        probePaths: [],
      },
      new ScriptedService(),
    );
    expect(page).toContain(`- inbound: ${describeInbound(layers)}\n`);
  });
});

describe("the repository", () => {
  test("says nothing of the machine that it was written on", () => {
    const skipped = new Set(["node_modules", "dist", ".git", ".selvage", ".cache", "package-lock.json"]);
    const walk = (directory: string): string[] =>
      readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
        if (skipped.has(entry.name)) return [];
        const path = join(directory, entry.name);
        return entry.isDirectory() ? walk(path) : [path];
      });
    const home = /(?<![\w.~-])\/(work|root|home|Users)\/\w/;
    const wrong = walk(root).flatMap((path) =>
      readFileSync(path, "utf8")
        .split("\n")
        .flatMap((line, index) => (home.test(line) ? [`${relative(root, path)}:${index + 1}: ${line.trim()}`] : [])),
    );
    expect(wrong).toEqual([]);
  });
});
