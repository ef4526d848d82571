import { isIPv4, isIPv6 } from "node:net";
import { type Refusal, refuseSpiffeId, refuseTrustDomain } from "@selvage/policy";
import * as z from "zod";
import { formatHostPort, parseHostPort } from "./address.js";
import { checked, duration, field, parsed, required, text } from "./field.js";
import { remade } from "./remade.js";

/** A path of a PEM file, not what is in it. */
const pemFile = checked((text) => {
  if (text === "") return { problem: "must not be empty", remedy: "" };
  return text.includes("-----BEGIN")
    ? { problem: "must be the path of a file", remedy: "write the PEM text to a file" }
    : null;
});

const tokenFile = checked((text) => {
  if (text === "") return { problem: "must not be empty", remedy: "" };
  // What a JSON Web Token starts with. Tokens in configurations end up in logs, images and repositories.
  return text.startsWith("eyJ") ? { problem: "must be the path of a file", remedy: "write the token to a file" } : null;
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

function refuseBundleUrl(text: string): Refusal | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "https:")
    return { problem: "must be an https URL", remedy: 'write "https://host:port/bundle"' };
  if (url.username === "" && url.password === "" && url.hash === "") return null;
  return { problem: "must not have user or fragment", remedy: `write "${url.origin}${url.pathname}"` };
}

function parseCaAddress(text: string): string | Refusal {
  if (text.startsWith("http://"))
    return { problem: "must not be plaintext", remedy: `write "https://${text.slice(7)}"` };
  const rest = text.startsWith("https://") ? text.slice(8) : text;
  const address = parseHostPort(rest.endsWith("/") ? rest.slice(0, -1) : rest);
  return "problem" in address ? address : `https://${formatHostPort(address)}`;
}

const bundleEndpoint = remade(() =>
  z
    .strictObject({
      url: required(checked(refuseBundleUrl), { doc: "where the SPIFFE bundle document is", type: "https URL" }),
      id: field(checked(refuseSpiffeId), {
        doc: "SPIFFE id that the endpoint proves (`https_spiffe`); absent: it proves its host by a certificate of the public web (`https_web`)",
        type: "SPIFFE id",
        optional: true,
      }),
      bundle: field(pemFile, {
        doc: "file of the bundle to begin with, by which the endpoint is believed the first time; needed with `id`",
        type: "path",
        optional: true,
      }),
    })
    .superRefine(({ id, bundle }, context) => {
      if ((id === undefined) === (bundle === undefined)) return;
      const params = { remedy: "write both for https_spiffe, neither for https_web" };
      context.addIssue({
        code: "custom",
        message: `must not have ${id === undefined ? "bundle" : "id"} alone`,
        params,
      });
    }),
);

const federation = remade(() =>
  field(
    z.strictObject({
      bundles: field(z.record(checked(refuseTrustDomain), pemFile), {
        doc: "other trust domains whose workloads are believed, each with the file of its trust bundle",
        type: "map of paths",
        default: {},
      }),
      endpoints: field(z.record(checked(refuseTrustDomain), bundleEndpoint()), {
        doc: "other trust domains whose workloads are believed, each with the endpoint that its trust bundle is fetched from",
        type: "map",
        default: {},
      }),
    }),
    { doc: "trust between trust domains" },
  ),
);

export const defaultLifetime = "24h";

/** How to know oneself and others. Which fields there are depends on `source`. */
export const identitySchema = remade(() =>
  z.discriminatedUnion("source", [
    z.strictObject({
      source: required(z.literal("dev"), {
        doc: "`dev`: a development authority, kept in a file that only its owner can read",
      }),
      lifetime: field(
        duration.refine((ms) => ms >= 1000, { error: "must be at least 1s" }),
        { doc: "lifetime of an SVID; it is renewed well before that is over", default: defaultLifetime },
      ),
    }),
    z.strictObject({
      source: required(z.literal("files"), {
        doc: "`files`: SVID, key and bundle in PEM files, read anew when they change",
      }),
      cert: required(pemFile, { doc: "PEM file of the SVID, followed by its intermediates", type: "path" }),
      key: required(pemFile, { doc: "PEM file of the SVID's private key", type: "path" }),
      bundle: required(pemFile, { doc: "PEM file of the trust bundle", type: "path" }),
      federation: federation(),
    }),
    z.strictObject({
      source: required(z.literal("spiffe"), { doc: "`spiffe`: a SPIFFE Workload API (SPIRE agent)" }),
      socket: field(checked(refuseSocket), {
        doc: "where the Workload API listens: `unix:///path` or `tcp://ip:port`",
        defaultText: "the variable `SPIFFE_ENDPOINT_SOCKET`",
      }),
      id: field(checked(refuseSpiffeId), {
        doc: "which SVID to take, where the agent offers several; another one is never taken instead",
        type: "SPIFFE id",
        defaultText: "the first one",
      }),
      hint: field(text, {
        doc: "which SVID to take, by the hint that the agent gives with each; with `id`, both have to be right",
        defaultText: "any",
      }),
    }),
    z.strictObject({
      source: required(z.literal("ca"), { doc: "`ca`: a certificate authority that is asked with a token" }),
      address: required(parsed(parseCaAddress), { doc: "where the authority listens (TLS)", type: "host:port" }),
      token: required(tokenFile, { doc: "file of the token that proves who asks, read each time", type: "path" }),
      bundle: required(pemFile, { doc: "PEM file of the roots that vouch for the authority itself", type: "path" }),
      serverId: field(checked(refuseSpiffeId), {
        doc: "the SPIFFE id that the authority has to prove",
        type: "SPIFFE id",
        defaultText: "`spiffe://<trustDomain>/ns/selvage/sa/identity`",
      }),
      federation: federation(),
    }),
  ]),
);
