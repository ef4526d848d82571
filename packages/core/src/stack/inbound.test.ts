import type { Connection } from "@selvage/http2";
import { transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import type { Verdict } from "@selvage/policy";
import { expect, test } from "vitest";
import type { Peer } from "../exchange.js";
import { AdaptiveLimit } from "../resilience/adaptive-limit.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { Registry } from "../telemetry/registry.js";
import { ManualClock } from "../testing/manual-clock.js";
import { inboundExchange, type TestRequest } from "../testing/test-mesh.js";
import { describeInbound, type InboundParts, inboundLayers, inboundStack } from "./inbound.js";

const peer: Peer = { trustDomain: "t", toString: () => "spiffe://t/storefront" };
const allow: Verdict = { allow: true, rule: "shop", reason: "", audited: false };

class Fixture {
  readonly clock = new ManualClock();
  readonly registry = new Registry();
  readonly exit: ScriptedService;
  readonly parts: InboundParts;
  readonly #service;

  constructor(answer: Answer | null = { body: "ok" }, parts: Partial<InboundParts> = {}) {
    this.exit = new ScriptedService(answer);
    this.parts = {
      clock: this.clock,
      metrics: new MeshMetrics(this.registry),
      serverAddress: "inventory",
      authorizer: { decide: () => allow },
      limiter: null,
      maxInFlight: 100,
      adaptiveLimit: null,
      probePaths: [],
      trace: null,
      ...parts,
    };
    this.#service = inboundStack(this.parts, this.exit);
  }

  call(request: TestRequest = {}, remoteAddress = "10.0.0.9"): RecordingSink {
    const sink = new RecordingSink();
    const x = inboundExchange(request);
    x.connection = { remoteAddress } as Connection;
    this.#service.call(x, sink);
    return sink;
  }

  metrics(prefix: string): string[] {
    return renderPrometheus(this.registry)
      .split("\n")
      .filter((line) => line.startsWith(prefix) && !line.includes("_bucket") && !line.includes("_sum"));
  }
}

test("an inbound request meets the layers in this order", () => {
  const { parts, exit } = new Fixture(null, { adaptiveLimit: new AdaptiveLimit({ min: 1, max: 1 }, () => 0) });
  const { trace: _, ...rest } = parts;
  expect(describeInbound(inboundLayers({ ...rest, limiter: { take: () => 0 } }, exit))).toBe(
    "rescue → measure → sanitize → trace → authorize → probes → rateLimit → shed → limit → exit",
  );
});

test("the application sees who the peer is, and nothing that was forged", () => {
  const f = new Fixture();
  const forged = ["l5d-client-id", "a", "l5d_client_id", "b", "l5d-orig-proto", "c", "x-forwarded-client-cert", "d"];
  const more = ["x_forwarded-client_cert", "e", "l5d-anything", "f"];
  f.call({ peer, headers: ["accept", "*/*", ...forged, ...more, "l5dx", "1", "x-forwarded-for", "2"] });
  const kept = ["accept", "*/*", "l5dx", "1", "x-forwarded-for", "2"];
  expect(f.exit.calls[0]!.x.headers).toEqual([...kept, "l5d-client-id", "spiffe://t/storefront"]);
  f.call({ headers: [...forged, "accept", "*/*"] });
  expect(f.exit.calls[1]!.x.headers).toEqual(["accept", "*/*"]);
});

test("headers that come again, as the same list, say who this peer is", () => {
  const f = new Fixture(null);
  const other: Peer = { trustDomain: "t", toString: () => "spiffe://t/batch" };
  for (const headers of [
    ["accept", "*/*"],
    ["accept", "*/*", "l5d-client-id", "forged"],
  ]) {
    f.exit.calls.length = 0;
    for (const one of [peer, peer, other, null, peer]) f.call({ peer: one, headers });
    const ids = f.exit.calls.map(({ x }) => x.headers.slice(2));
    const [mine, theirs] = [peer, other].map((one) => ["l5d-client-id", one.toString()]);
    expect(ids).toEqual([mine, mine, theirs, [], mine]);
  }
});

test("trailers claim no identity either", async () => {
  const f = new Fixture(null);
  const body = new TestBody();
  f.call({ method: "POST", body });
  body.push("a");
  body.end(["l5d-client-id", "forged", "checksum", "1", "x-forwarded-client-cert", "2"]);
  const call = f.exit.calls[0]!;
  expect((await call.body).toString()).toBe("a");
  expect(call.trailers).toEqual(["checksum", "1"]);
});

test("the caller's grpc-timeout becomes the deadline", () => {
  const f = new Fixture(null);
  f.call({ headers: ["grpc-timeout", "250m"] });
  expect(f.exit.calls[0]!.x).toMatchObject({ deadlineAt: f.clock.now() + 250 });
});

test("a verified peer's time left becomes the deadline, nobody else's does, and applications see neither", () => {
  const f = new Fixture(null);
  const headers = ["l5d-time-left", "250", "a", "b"];
  f.call({ peer, headers });
  expect(f.exit.calls[0]!.x).toMatchObject({
    deadlineAt: f.clock.now() + 250,
    headers: ["a", "b", "l5d-client-id", peer.toString()],
  });
  f.call({ headers });
  expect(f.exit.calls[1]!.x).toMatchObject({ deadlineAt: Number.POSITIVE_INFINITY, headers: ["a", "b"] });
});

const deny: Verdict = { allow: false, rule: "default", reason: "storefront is denied by rule default", audited: false };

test("who is denied learns why if it has an identity or is on loopback; all verdicts are counted", () => {
  const f = new Fixture(null, { authorizer: { decide: () => deny } });
  const body = new TestBody();
  const known = f.call({ peer, method: "POST", body });
  expect([known.status, known.text]).toEqual([403, `${deny.reason}\n`]);
  expect(known.header("l5d-proxy-error")).toBe(deny.reason);
  expect(body.cancelled).toBe(true);
  expect(f.call({}, "::ffff:127.0.0.1").text).toBe(`${deny.reason}\n`);
  expect(f.call({}, "127.0.0.1").text).toBe(`${deny.reason}\n`);
  const stranger = f.call();
  expect([stranger.status, stranger.text, stranger.header("l5d-proxy-error")]).toEqual([
    403,
    "forbidden\n",
    "forbidden",
  ]);
  expect(f.exit.calls).toHaveLength(0);
  expect(f.metrics("selvage_policy")).toEqual(['selvage_policy_verdicts_total{verdict="deny",rule="default"} 4']);
});

test("audited requests pass and are counted as such", () => {
  const f = new Fixture({}, { authorizer: { decide: () => ({ ...allow, audited: true }) } });
  expect(f.call().status).toBe(200);
  expect(f.metrics("selvage_policy")).toEqual(['selvage_policy_verdicts_total{verdict="audit",rule="shop"} 1']);
});

test("who calls too often gets 429 and is told when to come back", () => {
  const f = new Fixture(null, { limiter: { take: () => 1_200 } });
  const sink = f.call({ peer });
  expect([sink.status, sink.header("retry-after")]).toEqual([429, "2"]);
});

test("beyond the limit of exchanges in flight there is 503, until some end", () => {
  const f = new Fixture(null, { maxInFlight: 2 });
  f.call();
  f.call();
  const shed = f.call();
  expect([shed.status, shed.header("retry-after")]).toEqual([503, "1"]);
  f.exit.calls[0]!.answer({});
  f.call();
  expect(f.exit.calls).toHaveLength(3);
});

test("probes pass by rate limits and shedding, and not by policy", () => {
  const busy = { maxInFlight: 1, limiter: { take: () => 1_000 }, probePaths: ["/healthz"] };
  const f = new Fixture({ body: "ok" }, { ...busy, adaptiveLimit: new AdaptiveLimit({ min: 1, max: 1 }, () => 0) });
  expect([f.call().status, f.call({ path: "/healthz" }).status]).toEqual([429, 200]);
  expect(new Fixture({}, { ...busy, authorizer: { decide: () => deny } }).call({ path: "/healthz" }).status).toBe(403);
});

test("beyond the adaptive limit there is 503, until some have answered", () => {
  const f = new Fixture(null, { adaptiveLimit: new AdaptiveLimit({ min: 1, max: 1 }, () => 0) });
  f.call();
  const shed = f.call({ peer });
  expect([shed.status, shed.header("retry-after")]).toEqual([503, "1"]);
  expect(shed.header("l5d-proxy-error")).toBe("more than 1 exchanges wait for their response");
  f.exit.calls[0]!.sink.onHead(200, []);
  f.call();
  expect(f.exit.calls).toHaveLength(2);
});

test("inbound series are by peer, never by what the request says it is addressed to", () => {
  const f = new Fixture();
  for (const authority of ["a.example", "b.example"]) f.call({ peer, authority });
  f.call({ method: "BREW" });
  const labels = (method: string, id: string) =>
    `server_address="inventory",http_request_method="${method}",http_response_status_code="200",network_protocol_version="1.1"${id},selvage_classification="success"`;
  expect(f.metrics("http_server")).toEqual([
    `http_server_request_duration_seconds_count{${labels("GET", ',selvage_peer="spiffe://t/storefront"')}} 2`,
    `http_server_request_duration_seconds_count{${labels("_OTHER", "")}} 1`,
    "http_server_active_requests 0",
  ]);
});

test("a caller that gives up is not counted as success or failure", () => {
  const f = new Fixture(null);
  const sink = f.call();
  f.exit.calls[0]!.abort(transportError("SELVAGE_ERR_ABORTED", "gone", "caller"));
  expect(sink.error?.code).toBe("SELVAGE_ERR_ABORTED");
  expect(f.metrics("http_server_request")[0]).toContain('selvage_classification="not_counted"');
  expect(f.metrics("selvage_errors")).toEqual(['selvage_errors_total{direction="inbound",reason="aborted"} 1']);
});
