import { refuseMethod, refuseSpiffeId } from "@selvage/policy";
import * as z from "zod";
import { parseEgressRule } from "../egress/egress-rule.js";
import { refuseAuthority } from "./address.js";
import {
  checked,
  count,
  dnsName,
  duration,
  field,
  hostPort,
  port,
  positiveDuration,
  ratio,
  required,
  text,
} from "./field.js";
import { remade } from "./remade.js";
import { headerName, methodName, routesSchemas } from "./route-schema.js";

export const defaultWeight = 1;

const protocol = z.enum(["h1", "h2"]);
const jitter = z.number().min(0).max(100);

/** The defaults of fields that are only there when their group is. */
export const hedgeSchema = remade(() =>
  z.strictObject({
    delay: field(positiveDuration, {
      doc: "without the head of a response, after which another endpoint is asked too; a little above the usual p95",
      default: "100ms",
    }),
    limit: field(z.int().min(0).max(3), {
      doc: "such attempts of one call, each on an endpoint that the call has not tried, while there is one; 0: none",
      unit: "attempts",
      default: 1,
    }),
  }),
);

const retry = remade(() =>
  z.strictObject({
    limit: field(z.int().min(0).max(10), {
      doc: "attempts after the first; 0 turns retries off",
      unit: "attempts",
      default: 1,
    }),
    perTryTimeout: field(duration, { doc: "for one attempt, also the first; 0 sets none", default: 0 }),
    statuses: field(z.array(z.int().min(400).max(599)), {
      doc: "statuses after which another attempt is made",
      type: "list of numbers",
      default: [502, 503, 504],
    }),
    methods: field(z.array(methodName), {
      doc: "methods that may be sent again although the peer may have acted; what was provably unsent may always be",
      type: "list of text",
      default: ["GET", "HEAD", "OPTIONS", "TRACE"],
    }),
    grpcStatuses: field(z.array(z.int().min(1).max(16)), {
      doc: "gRPC statuses after which another attempt is made, whatever the method: 14 is UNAVAILABLE",
      type: "list of numbers",
      default: [],
    }),
    maxReplayBytes: field(count.max(16_777_216), {
      doc: "a request body beyond this is passed on without being kept, and can't be sent twice",
      unit: "bytes",
      default: 65_536,
    }),
    backoff: field(
      z.strictObject({
        min: field(duration, { doc: "wait before the second attempt", default: "25ms" }),
        max: field(positiveDuration, { doc: "longest wait, to which it doubles", default: "250ms" }),
        jitter: field(jitter, { doc: "random part of the wait, relative to the rest", unit: "ratio", default: 1 }),
      }),
      { doc: "waits between attempts" },
    ),
    hedge: field(hedgeSchema(), {
      doc: "a second attempt beside one that doesn't answer, for requests that may be repeated; the first to answer wins; absent: none",
      optional: true,
    }),
  }),
);

const routes = remade(() => routesSchemas(retry()));

/** A file of routes: the same list. */
export const routeListSchema = remade(() => routes().list);

/** The defaults of fields that are only there when their group is. */
export const successRateSchema = remade(() =>
  z.strictObject({
    threshold: field(z.number().min(0).max(1), {
      doc: "ejected below this share of successes",
      unit: "ratio",
      default: 0.8,
    }),
    window: field(
      duration.refine((ms) => ms >= 10, { error: "must be at least 10ms" }),
      {
        doc: "over which successes are counted",
        default: "10s",
      },
    ),
    minRequests: field(z.int().min(1).max(1_000_000), {
      doc: "fewer requests in the window say nothing",
      unit: "requests",
      default: 5,
    }),
  }),
);

/** The defaults of fields that are only there when their group is. */
export const hashSchema = remade(() =>
  z.strictObject({
    header: field(headerName, { doc: "header whose value is the key" }),
    cookie: field(checked(refuseMethod), { doc: "cookie whose value is the key; applications set it, not the mesh" }),
    maxLoad: field(z.number().min(1).max(1000), {
      doc: "requests in flight, relative to the average endpoint, beyond which the next endpoint gets a key's requests",
      unit: "ratio",
      default: 1.5,
    }),
  }),
);

const settings = remade(() => ({
  protocol: field(protocol, {
    doc: "what plain endpoints are spoken to in; meshed ones always get HTTP/2",
    default: "h1",
  }),
  timeout: field(duration, { doc: "for the whole exchange, attempts and backoff included; 0 sets none", default: 0 }),
  idleTimeout: field(duration, {
    doc: "without a byte of the exchange in either direction, tunnels included; ends it at most a quarter later; 0 sets none",
    default: 0,
  }),
  connectTimeout: field(positiveDuration, { doc: "for TCP and TLS together", default: "1s" }),
  retry: field(retry(), { doc: "when and how often to try again" }),
  routes: field(routes().written, {
    doc: "what differs for some requests: a list, or the file that holds it",
    type: "list or object",
    default: [],
  }),
  retryBudget: field(
    z.strictObject({
      ratio: field(ratio, { doc: "retries per original request", unit: "ratio", default: 0.2 }),
      minPerSecond: field(count, { doc: "retries that are allowed on top", unit: "retries/s", default: 10 }),
      ttl: field(
        duration.refine((ms) => ms >= 1000 && ms <= 60_000, { error: "must be between 1s and 60s" }),
        {
          doc: "how long an original request counts",
          default: "10s",
        },
      ),
    }),
    { doc: "bounds retries to a share of the requests, so that they cannot make a storm" },
  ),
  balancer: field(
    z.strictObject({
      defaultRtt: field(positiveDuration, {
        doc: "latency that an unmeasured endpoint is taken to have",
        default: "30ms",
      }),
      decay: field(positiveDuration, { doc: "in which a latency peak is forgotten (peak EWMA)", default: "10s" }),
      zones: field(z.enum(["prefer", "ignore"]), {
        doc: "`prefer`: endpoints of this workload's zone, while their load allows; `ignore`: all alike",
        default: "prefer",
      }),
      panicRatio: field(z.number().min(0).max(1), {
        doc: "when more than this share of the endpoints is ejected, all are used; 1: never",
        unit: "ratio",
        default: 0.7,
      }),
      hash: field(
        z.union([
          z.literal(false),
          hashSchema().superRefine(({ header, cookie }, context) => {
            if ((header === undefined) !== (cookie === undefined)) return;
            const message = header === undefined ? "must name where the key is" : "must name one key";
            context.addIssue({ code: "custom", message, params: { remedy: "write one of header and cookie" } });
          }),
        ]),
        {
          doc: "requests with the same key go to the same endpoint (consistent hashing); those without one are balanced by load; absent, or `false` where `defaults` has one: all are",
          type: "object or false",
          optional: true,
        },
      ),
    }),
    { doc: "picks the less loaded of two endpoints" },
  ),
  failureAccrual: field(
    z.strictObject({
      consecutiveFailures: field(count, {
        doc: "failures in a row that eject an endpoint; 0: never",
        unit: "failures",
        default: 7,
      }),
      minPenalty: field(positiveDuration, { doc: "how long an endpoint is ejected at first", default: "1s" }),
      maxPenalty: field(positiveDuration, { doc: "to which that doubles while probes fail", default: "60s" }),
      jitter: field(jitter, { doc: "random part of the penalty, relative to the rest", unit: "ratio", default: 0.5 }),
      successRate: field(successRateSchema(), { doc: "ejects by success rate too; absent: not", optional: true }),
    }),
    { doc: "ejects endpoints that fail (circuit breaker)" },
  ),
}));

const egressEntry = checked((entry) => {
  const rule = parseEgressRule(entry);
  return "problem" in rule ? rule : null;
});

const identity = field(checked(refuseSpiffeId).nullable(), {
  doc: "SPIFFE id that every endpoint has to prove; null or absent: plain, unless the endpoint or its resolver names one",
  type: "SPIFFE id or null",
});

const labels = field(z.record(z.string(), z.string()), {
  doc: "for whoever resolves or observes",
  type: "map of text",
  default: {},
});

const endpoint = remade(() =>
  z.strictObject({
    address: required(hostPort, { doc: "where it listens", type: "host:port" }),
    identity: field(checked(refuseSpiffeId).nullable(), {
      doc: "SPIFFE id that it has to prove; null: plain",
      type: "SPIFFE id or null",
      defaultText: "that of the service",
    }),
    zone: field(text, { doc: "failure domain that it is in" }),
    weight: field(z.number().min(0).max(1_000_000), {
      doc: "share of requests; 0: none",
      unit: "ratio",
      default: defaultWeight,
    }),
    protocol: field(protocol, { doc: "what it is spoken to in when it is plain", defaultText: "that of the service" }),
    labels,
  }),
);

const list = remade(() => z.array(z.union([hostPort, endpoint()])));

/** A file of endpoints: the same list, that may be empty. */
export const endpointListSchema = list;

const endpoints = remade(() =>
  z.union([
    list().min(1),
    z
      .strictObject({
        dns: field(dnsName, {
          doc: "name whose addresses are the endpoints; `_mesh._tcp.name`, without a port, whose SRV records are",
          type: "host:port",
        }),
        file: field(text, { doc: "file that lists the endpoints, read anew when it changes", type: "path" }),
        local: field(z.literal(true), { doc: "found through the registry of this machine", type: "true" }),
      })
      .superRefine((source, context) => {
        const named = Object.keys(source).length;
        if (named === 1) return;
        const params = { remedy: "write a list of addresses, or one of dns, file and local" };
        context.addIssue({
          code: "custom",
          message: named === 0 ? "must name where endpoints come from" : "must be one of them",
          params,
        });
      }),
  ]),
);

const service = remade(() =>
  z.strictObject({
    endpoints: field(endpoints(), {
      doc: "a list of `host:port` or objects, or one of `dns`, `file`, `local`",
      type: "list or object",
      defaultText: "as for an authority that is not configured",
    }),
    identity,
    ...settings(),
  }),
);

export const serviceSettingsSchema = remade(() => z.strictObject(settings()));

export const outboundSchema = remade(() =>
  z.strictObject({
    port: field(port, { doc: "listener of the shim on loopback; 0 takes a free one", unit: "port", default: 4140 }),
    services: field(z.record(checked(refuseAuthority), service()), {
      doc: "what is known of an authority, by its name as it stands in URLs",
      type: "map",
      default: {},
    }),
    defaults: field(serviceSettingsSchema(), {
      doc: "settings of authorities that `services` does not name, and of fields that it leaves out",
    }),
    allowFaults: field(z.boolean(), {
      doc: "whether `fault` of routes is allowed where NODE_ENV is production",
      default: false,
    }),
    queue: field(
      z.strictObject({
        capacity: field(count.min(1), {
          doc: "requests that may wait for an endpoint of one authority",
          unit: "requests",
          default: 10_000,
        }),
        failFast: field(positiveDuration, {
          doc: "without an available endpoint, after which what waits fails at once",
          default: "3s",
        }),
      }),
      { doc: "waiting for endpoints" },
    ),
    maxInFlight: field(count.min(1), {
      doc: "requests in flight; more are shed with 503",
      unit: "requests",
      default: 100_000,
    }),
    egress: field(
      z.strictObject({
        allow: field(z.array(egressEntry), {
          doc: "`[scheme://]host[:port]` that may be called: https and its port unless given; `*.example.com` for the names below one, `*` for every public name; empty: nothing outside the mesh",
          type: "list of text",
          default: [],
        }),
        caFile: field(text, {
          doc: "PEM file of roots that are trusted beside the system's, read at start",
          type: "path",
        }),
        traceContext: field(z.boolean(), {
          doc: "send trace context there (`traceparent`, `baggage` and the like)",
          default: false,
        }),
      }),
      { doc: "calls to names outside the mesh" },
    ),
  }),
);
