import { refuseTrustDomain } from "@selvage/policy";
import * as z from "zod";
import { checked, duration, field, port, text } from "./field.js";
import { identitySchema } from "./identity-schema.js";
import { inboundSchema } from "./inbound-schema.js";
import { outboundSchema } from "./outbound-schema.js";
import { remade } from "./remade.js";

const segment = checked((name) => {
  const accepted = [...name].every(
    (c) =>
      (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c >= "0" && c <= "9") || c === "-" || c === "_" || c === ".",
  );
  if (name !== "" && name !== "." && name !== ".." && accepted) return null;
  return { problem: "must be a segment of a SPIFFE id", remedy: 'write letters, digits, ".", "-" and "_" only' };
});

/**
 * The one configuration of library, shim and gateway: what may be written. Unknown fields are errors. Durations come out
 * as milliseconds, addresses as host and port; defaults are not filled in (`resolveConfig` does).
 */
export const meshSchema = remade(() =>
  z.strictObject({
    workload: field(
      z.strictObject({
        name: field(segment, {
          doc: "name of this workload, in its identity and its metrics",
          defaultText: "`name` in the nearest package.json, or the directory's",
        }),
        namespace: field(segment, { doc: "namespace in its identity", default: "default" }),
        trustDomain: field(checked(refuseTrustDomain), { doc: "trust domain of its identity", default: "dev.selvage" }),
        zone: field(text, { doc: "failure domain that it is in, as endpoints name theirs; see `balancer.zones`" }),
      }),
      { doc: "who this is: `spiffe://<trustDomain>/ns/<namespace>/sa/<name>`" },
    ),
    stateDir: field(text, {
      doc: "where local state (development authority, registry) is kept",
      type: "path",
      defaultText: "chosen by what keeps it",
    }),
    identity: field(identitySchema(), {
      doc: "where SVID and trust bundle come from",
      defaultText: "`{ source: dev }`",
    }),
    inbound: field(inboundSchema(), { doc: "traffic to this workload" }),
    outbound: field(outboundSchema(), { doc: "traffic from this workload" }),
    admin: field(
      z.union([
        z.literal(false),
        z.strictObject({
          host: field(text, { doc: "address that the admin server is bound to", default: "127.0.0.1" }),
          port: field(port, { doc: "port of the admin server; 0 takes a free one", unit: "port", default: 4191 }),
        }),
      ]),
      { doc: "metrics, health and introspection over HTTP; `false` turns it off", type: "object or false" },
    ),
    telemetry: field(
      z.strictObject({
        traces: field(z.boolean(), {
          doc: "make spans (through @opentelemetry/api) and pass trace context on",
          default: true,
        }),
      }),
      { doc: "what is observed" },
    ),
    drain: field(
      z.strictObject({
        timeout: field(duration, { doc: "that requests in flight get when the mesh closes", default: "30s" }),
        delay: field(duration, {
          doc: "between failing readiness and taking no new requests, so that others can notice",
          default: 0,
        }),
      }),
      { doc: "shutting down" },
    ),
  }),
);

/** What `meshSchema` gives: checked, not yet complete. */
export type CheckedOptions = z.output<ReturnType<typeof meshSchema>>;
