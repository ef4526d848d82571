import { normalizePath, policyDefaults, rateLimitSchema, rulesSchema } from "@selvage/policy";
import * as z from "zod";
import { checked, count, field, hostPort, port, text } from "./field.js";
import { remade } from "./remade.js";

const probePath = checked((path) => {
  if (path.startsWith("/") && normalizePath(path) === path) return null;
  return { problem: "must be an exact path", remedy: 'write "/healthz", without query or pattern' };
});

/** The defaults of fields that are only there when their group is. */
export const adaptiveLimitSchema = remade(() =>
  z.strictObject({
    min: field(count.min(1), { doc: "never fewer requests", unit: "requests", default: 20 }),
    max: field(count.min(1), { doc: "never more requests", unit: "requests", default: 1_000 }),
  }),
);

export const inboundSchema = remade(() =>
  z.strictObject({
    host: field(text, { doc: "address that the mesh port is bound to", default: "0.0.0.0" }),
    port: field(port, { doc: "mesh port of the shim; 0 takes a free one", unit: "port", default: 4143 }),
    app: field(hostPort, { doc: "where the shim finds its app", type: "host:port", default: "127.0.0.1:8080" }),
    appProtocol: field(z.enum(["h1", "h2"]), {
      doc: "what the shim speaks to its app: HTTP/1.1, or HTTP/2 without TLS (gRPC servers need `h2`)",
      default: "h1",
    }),
    advertise: field(hostPort, {
      doc: "what others are told to connect to",
      type: "host:port",
      defaultText: "the address that was bound",
    }),
    policy: field(
      z
        .strictObject({
          default: field(z.enum(policyDefaults), {
            doc: "what happens to requests that no rule decides",
            default: "all-authenticated",
          }),
          file: field(text, {
            doc: "policy document with `rules` and `rateLimit`, instead of those here",
            type: "path",
          }),
          rules: field(rulesSchema, { doc: "who may do what (docs/policy.md)", type: "list of rules" }),
          rateLimit: field(rateLimitSchema, { doc: "local rate limits (docs/policy.md)", type: "rate limits" }),
        })
        .superRefine((policy, context) => {
          if (policy.file === undefined) return;
          for (const key of ["rules", "rateLimit"] as const) {
            if (policy[key] === undefined) continue;
            const params = { remedy: `move it to ${policy.file}, or leave out inbound.policy.file` };
            context.addIssue({ code: "custom", path: [key], message: "must not stand beside file", params });
          }
        }),
      { doc: "who may call this workload" },
    ),
    maxInFlight: field(count.min(1), {
      doc: "requests in flight, to the last byte of their responses; more are shed with 503",
      unit: "requests",
      default: 100_000,
    }),
    adaptiveLimit: field(adaptiveLimitSchema(), {
      doc: "limits the requests that wait for the head of their response by their latency, and sheds more with 503; absent: not (docs/protection.md)",
      optional: true,
    }),
    probes: field(
      z.strictObject({
        paths: field(z.array(probePath), {
          doc: "exact paths that GET and HEAD reach without an identity, whatever policy says, and whatever the load is",
          type: "list of text",
          default: [],
        }),
      }),
      { doc: "health checks of the platform" },
    ),
    plaintext: field(z.enum(["allow", "refuse"]), {
      doc: "whether connections without TLS are served, as an unauthenticated peer's, or closed",
      default: "allow",
    }),
  }),
);
