import type { Mesh } from "@selvage/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkMetrics } from "./check-metrics.js";
import { listen, Meshes, servicesAt } from "./meshes.js";
import { describeWith, execute } from "./programs.js";

const meshes = new Meshes();
let server: Mesh;
let caller: Mesh;

beforeAll(async () => {
  server = await meshes.server({
    workload: { name: "server", namespace: "test" },
    inbound: {
      host: "127.0.0.1",
      port: 0,
      policy: {
        default: "all-unauthenticated",
        rules: [{ name: "closed", action: "deny", from: ["*"], paths: ["/closed"] }],
      },
    },
    admin: { port: 0 },
  });
  let asked = 0;
  const port = await listen(
    server.createServer((req, res) => {
      res.statusCode = req.url === "/bad" ? 500 : req.url === "/flaky" && asked++ % 2 === 0 ? 503 : 200;
      res.end("answer");
    }),
  );
  caller = await meshes.server({
    workload: { name: "caller", namespace: "test" },
    outbound: { services: { ...servicesAt({ "app.test": port }), "gone.test": { endpoints: ["127.0.0.1:1"] } } },
    admin: { port: 0 },
  });
  for (const path of ["/", "/bad", "/flaky", "/closed", "/odd%22\\name"]) {
    await (await caller.fetch(`http://app.test${path}`)).text();
  }
  await (await caller.fetch("http://app.test/", { method: "PURGE" })).text();
  await (await caller.fetch("http://gone.test/")).text();
  await (await caller.fetch("http://nobody.test/")).text();
});
afterAll(() => meshes.stop());

async function scrape(mesh: Mesh): Promise<{ type: string | null; text: string }> {
  const response = await fetch(`${mesh.adminAddress}/metrics`);
  return { type: response.headers.get("content-type"), text: await response.text() };
}

describe.each([
  ["inbound", () => server, "http_server_request_duration_seconds"],
  ["outbound", () => caller, "http_client_request_duration_seconds"],
] as const)("the metrics of a mesh with %s requests", (_name, meshOf, requests) => {
  test("are in Prometheus' text format, and hold what happened", async () => {
    const { type, text } = await scrape(meshOf());
    expect(type).toBe("text/plain; version=0.0.4; charset=utf-8");
    const families = checkMetrics(text);
    const counts = families.get(requests)?.samples.filter(({ name }) => name === `${requests}_count`) ?? [];
    const statuses = new Set(counts.map(({ labels }) => labels.get("http_response_status_code")));
    for (const status of ["200", "403", "500"]) expect(statuses).toContain(status);
    expect(counts.map(({ labels }) => labels.get("http_request_method"))).toContain("_OTHER");
  });

  describeWith("promtool", ["--version"], "promtool", () => {
    test("finds nothing wrong", async () => {
      const { text } = await scrape(meshOf());
      const checked = await execute("promtool", ["check", "metrics"], { input: text });
      expect(checked).toMatchObject({ status: 0, stderr: "" });
    });
  });
});

describe("the check itself", () => {
  const good = "# HELP a_total What.\n# TYPE a_total counter\na_total 1\n";
  test.each([
    ["no line feed at the end", good.slice(0, -1)],
    ["a name that is none", good.replaceAll("a_total", "a-total")],
    ["a sample without a type", "a_total 1\n"],
    ["a sample twice", `${good}a_total 2\n`],
    ["a family twice", `${good}# HELP b What.\n# TYPE b gauge\nb 1\n${good}`],
    ["a label that isn't closed", good.replace("a_total 1", 'a_total{x="1} 1')],
    ["a label twice", good.replace("a_total 1", 'a_total{x="1",x="2"} 1')],
    ["a value that is no number", good.replace("a_total 1", "a_total one")],
    ["a counter that is negative", good.replace("a_total 1", "a_total -1")],
    ["a counter that isn't called so", good.replaceAll("a_total", "a")],
    [
      "buckets that shrink",
      '# HELP h What.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    ],
    [
      "a last bucket that isn't the count",
      '# HELP h What.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
    ],
    [
      "a histogram without its last bucket",
      '# HELP h What.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
    ],
  ])("finds %s", (_name, text) => {
    expect(() => checkMetrics(text)).toThrow();
  });

  test("takes what is good", () => {
    expect(checkMetrics(good).get("a_total")?.samples).toMatchObject([{ value: 1 }]);
  });
});
