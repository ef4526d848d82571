import { isIPv4, isIPv6 } from "node:net";
import { type Refusal, refuseSpiffeId, refuseTrustDomain } from "@selvage/policy";
import { z } from "zod";
import { parseHostPort } from "./address.js";
import type { HostPort } from "./config.js";
import { checked, duration, field, parsed, required } from "./field.js";

/** A path of a PEM file, not what is in it. */
const pemFile = checked((text) => {
  if (text === "") return { problem: "must not be empty", remedy: "" };
  return text.includes("-----BEGIN")
    ? { problem: "must be the path of a file", remedy: "write the PEM text to a file" }
    : null;
});

const tokenFile = checked((text) => {
  if (text === "") return { problem: "must not be empty", remedy: "" };
  if (!text.startsWith("eyJ")) return null;
  return { problem: "must be the path of a file", remedy: 'write "token: { value: … }" to give the token itself' };
});

/** SPIFFE Workload Endpoint, section 4: `unix:///path` or `tcp://ip:port`. */
export function refuseSocket(text: string): Refusal | null {
  if (text.startsWith("/")) return { problem: "must be a URI", remedy: `write "unix://${text}"` };
  if (text.startsWith("unix:///") && text.length > 8) return null;
  if (text.startsWith("tcp://")) {
    const address = parseHostPort(text.slice(6));
    if (!("problem" in address) && (isIPv4(address.host) || isIPv6(address.host))) return null;
  }
  return {
    problem: "must be a Workload API address",
    remedy: 'write "unix:///path/to/socket" or "tcp://127.0.0.1:8081"',
  };
}

function parseCaAddress(text: string): HostPort | Refusal {
  if (text.startsWith("http://"))
    return { problem: "must not be plaintext", remedy: `write "https://${text.slice(7)}"` };
  const rest = text.startsWith("https://") ? text.slice(8) : text;
  return parseHostPort(rest.endsWith("/") ? rest.slice(0, -1) : rest);
}

function refuseBundle(text: string): Refusal | null {
  if (text === "" || text.includes("-----BEGIN")) return { problem: "must be a file or an https URL", remedy: "" };
  if (!text.includes("://")) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== "https:" || url.username !== "" || url.password !== "") {
    return { problem: "must be a file or an https URL", remedy: "without user name and password" };
  }
  return null;
}

const federation = field(
  z.strictObject({
    bundles: field(z.record(checked(refuseTrustDomain), checked(refuseBundle)), {
      doc: "other trust domains whose workloads are believed, each with the file or https URL of its trust bundle",
      type: "map of trust domain to text",
      default: {},
    }),
  }),
  { doc: "trust between trust domains" },
);

/** Of the sources that ask for an SVID. */
export const defaultLifetime = "24h";

const lifetime = field(
  duration.refine((ms) => ms >= 1000, { error: "must be at least 1s" }),
  { doc: "how long an SVID is asked for; it is renewed well before that is over", default: defaultLifetime },
);

/** How to know oneself and others. Which fields there are depends on `source`. */
export const identitySchema = z.discriminatedUnion("source", [
  z.strictObject({
    source: required(z.literal("dev"), { doc: "a development authority, kept in a file that only its owner can read" }),
    lifetime,
    federation,
  }),
  z.strictObject({
    source: required(z.literal("files"), { doc: "SVID, key and bundle in PEM files, read anew when they change" }),
    cert: required(pemFile, { doc: "PEM file of the SVID, followed by its intermediates", type: "path" }),
    key: required(pemFile, { doc: "PEM file of the SVID's private key", type: "path" }),
    bundle: required(pemFile, { doc: "PEM file of the trust bundle", type: "path" }),
    federation,
  }),
  z.strictObject({
    source: required(z.literal("spiffe"), { doc: "a SPIFFE Workload API (SPIRE agent)" }),
    socket: field(checked(refuseSocket), {
      doc: "where the Workload API listens: `unix:///path` or `tcp://ip:port`",
      defaultText: "the variable `SPIFFE_ENDPOINT_SOCKET`",
    }),
    federation,
  }),
  z.strictObject({
    source: required(z.literal("ca"), { doc: "a certificate authority that is asked with a token" }),
    address: required(parsed(parseCaAddress), { doc: "where the authority listens (TLS)", type: "host:port" }),
    token: required(
      z.union([
        tokenFile,
        z.strictObject({
          value: required(z.string().min(1), { doc: "the token itself; a file is better, since it can rotate" }),
        }),
      ]),
      { doc: "file of the token that proves who asks, read each time", type: "path" },
    ),
    bundle: required(pemFile, { doc: "PEM file of the roots that vouch for the authority itself", type: "path" }),
    serverId: field(checked(refuseSpiffeId), {
      doc: "the SPIFFE id that the authority has to prove",
      type: "SPIFFE id",
      defaultText: "any that `bundle` vouches for",
    }),
    lifetime,
    federation,
  }),
]);
