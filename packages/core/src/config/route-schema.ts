import { normalizePath, parsePathPattern, type Refusal, refuseMethod } from "@selvage/policy";
import * as z from "zod";
import { claimsIdentity } from "../layers/mesh-header.js";
import { compileRegex } from "../router/linear-regex.js";
import { isHostName, refuseAuthority } from "./address.js";
import { faultSchema } from "./fault-schema.js";
import { checked, duration, field, port, required, text } from "./field.js";
import { remade } from "./remade.js";

export const defaultRoutePath = "/*";
export const defaultRedirectStatus = 302;

export const methodName = checked(refuseMethod);

export const headerName = checked((name) => {
  if (name !== name.toLowerCase()) return { problem: "must be lower case", remedy: `write "${name.toLowerCase()}"` };
  return refuseMethod(name) === null ? null : { problem: "must be the name of a header", remedy: "" };
});

const regex = checked((source) => {
  const compiled = compileRegex(source);
  return "problem" in compiled ? compiled : null;
});

const valueMatch = remade(() =>
  z.union([
    z.string(),
    z
      .strictObject({
        regex: field(regex, { doc: "must match the whole value (RE2 syntax)", type: "regular expression" }),
        present: field(z.literal(true), { doc: "any value will do", type: "true" }),
      })
      .superRefine((match, context) => {
        if (Object.keys(match).length === 1) return;
        context.addIssue({
          code: "custom",
          message: "must say one of regex and present",
          params: { remedy: "write text for an exact value" },
        });
      }),
  ]),
);

const grpcService = checked((name) =>
  /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(name)
    ? null
    : { problem: "must be the full name of a gRPC service", remedy: 'write it as in the .proto: "shop.Cart"' },
);

const grpcMethod = checked((name) =>
  /^[A-Za-z_]\w*$/.test(name) ? null : { problem: "must be the name of a gRPC method", remedy: 'such as "Add"' },
);

const match = remade(() =>
  z
    .strictObject({
      path: field(
        z.union([
          checked((path) => {
            const pattern = parsePathPattern(path);
            return "problem" in pattern ? pattern : null;
          }),
          z.strictObject({
            regex: required(regex, { doc: "must match the whole path (RE2 syntax)", type: "regular expression" }),
          }),
        ]),
        { doc: "exact (`/a/b`), a prefix of whole segments (`/a/*`), or `regex`", default: defaultRoutePath },
      ),
      method: field(methodName, { doc: "exact", defaultText: "any" }),
      headers: field(z.record(headerName, valueMatch()), {
        doc: "headers and their values, all of which must be there: text is exact, else `regex` or `present`",
        type: "map",
        default: {},
      }),
      query: field(z.record(text, valueMatch()), {
        doc: "query parameters and their values, decoded, as `headers`; of a repeated one the first counts",
        type: "map",
        default: {},
      }),
      grpc: field(
        z.strictObject({
          service: field(grpcService, { doc: "full name, as in the .proto", defaultText: "any" }),
          method: field(grpcMethod, { doc: "exact", defaultText: "any" }),
        }),
        { doc: "gRPC requests only; instead of `path` and `method`", optional: true },
      ),
    })
    .superRefine((written, context) => {
      if (written.grpc === undefined) return;
      for (const key of ["path", "method"] as const) {
        if (written[key] === undefined) continue;
        const params = { remedy: "gRPC says both: leave it out, or leave grpc out" };
        context.addIssue({ code: "custom", path: [key], message: "must not stand beside grpc", params });
      }
    }),
);

/** What frames a message, or belongs to one connection: a filter that touched it would break the message. */
const framing = new Set([
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const filteredName = checked((name) => {
  const lower = name.toLowerCase();
  if (name.startsWith(":")) return { problem: "must not be a pseudo-header", remedy: "see filters.rewrite" };
  if (lower === "host") return { problem: "must not be changed as a header", remedy: "write rewrite.hostname" };
  if (claimsIdentity(lower)) return { problem: "is a header that only the mesh sets", remedy: "leave it out" };
  if (framing.has(lower)) return { problem: "belongs to the connection, not to the route", remedy: "leave it out" };
  if (name !== lower) return { problem: "must be lower case", remedy: `write "${lower}"` };
  return refuseMethod(name) === null ? null : { problem: "must be the name of a header", remedy: "" };
});

const filteredValue = checked((value) => {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if ((c < 0x20 && c !== 9) || c === 0x7f || c > 0xff)
      return {
        problem: "must be the value of a header",
        remedy: "leave line breaks, control characters and what is not Latin-1 out",
      };
  }
  return value === value.trim()
    ? null
    : { problem: "must not begin or end with white space", remedy: `write "${value.trim()}"` };
});

const changes = remade(() =>
  z
    .strictObject({
      set: field(z.record(filteredName, filteredValue), {
        doc: "replaces what there is",
        type: "map of text",
        default: {},
      }),
      add: field(z.record(filteredName, filteredValue), {
        doc: "comes beside what there is",
        type: "map of text",
        default: {},
      }),
      remove: field(z.array(filteredName), { doc: "is taken out", type: "list of text", default: [] }),
    })
    .superRefine(({ set = {}, add = {}, remove = [] }, context) => {
      const seen = new Set<string>();
      const look = (name: string, path: PropertyKey[]) => {
        const params = { remedy: "say of each header one thing" };
        if (seen.has(name)) context.addIssue({ code: "custom", path, message: "is changed twice", params });
        seen.add(name);
      };
      for (const name of Object.keys(set)) look(name, ["set", name]);
      for (const name of Object.keys(add)) look(name, ["add", name]);
      for (const [i, name] of remove.entries()) look(name, ["remove", i]);
    }),
);

const hostname = checked((name) => {
  if (isHostName(name) && name === name.toLowerCase()) return null;
  return { problem: "must be a host name", remedy: "write it in lower case, without scheme and port" };
});

function refusePath(path: string): Refusal | null {
  if (normalizePath(path) === path && path.startsWith("/")) return null;
  return { problem: "must be a path in its normal form", remedy: 'write it as "/a/b", without a query' };
}

const fullPath = remade(() => field(checked(refusePath), { doc: "replaces the whole path; the query stays" }));
const prefixPath = remade(() =>
  field(
    checked((path) => (path === "" ? null : refusePath(path))),
    { doc: "replaces the prefix that the route matched, which `match.path` must be; the query stays" },
  ),
);

function oneOf(keys: readonly string[], message: string, remedy: string) {
  return (written: object, context: z.RefinementCtx): void => {
    if (keys.every((key) => Object.hasOwn(written, key)))
      context.addIssue({ code: "custom", message, params: { remedy } });
  };
}

const bothPaths = oneOf(["path", "prefix"], "must not have both path and prefix", "path replaces all, prefix a part");

const filters = remade(() =>
  z.strictObject({
    requestHeaders: field(changes(), { doc: "changes the headers of requests", optional: true }),
    responseHeaders: field(changes(), {
      doc: "changes the headers of responses, not of those the mesh makes",
      optional: true,
    }),
    redirect: field(
      z
        .strictObject({
          scheme: field(z.enum(["http", "https"]), { doc: "where to", defaultText: "that of the request" }),
          hostname: field(hostname, { doc: "where to", type: "host", defaultText: "that of the request" }),
          port: field(port.min(1), {
            doc: "where to",
            unit: "port",
            defaultText: "that of `scheme` if there is one, else that of the request",
          }),
          path: fullPath(),
          prefix: prefixPath(),
          status: field(z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]), {
            doc: "of the answer",
            type: "301, 302, 303, 307 or 308",
            default: defaultRedirectStatus,
          }),
        })
        .superRefine(bothPaths),
      { doc: "answers the request itself: the caller has to go elsewhere", optional: true },
    ),
    rewrite: field(
      z
        .strictObject({
          hostname: field(checked(refuseAuthority), {
            doc: "host (and port) that the server is told",
            type: "authority",
          }),
          path: fullPath(),
          prefix: prefixPath(),
        })
        .superRefine(bothPaths),
      { doc: "sends the request on under another name or path", optional: true },
    ),
    mirror: field(
      z.strictObject({
        service: required(checked(refuseAuthority), { doc: "authority that gets copies", type: "authority" }),
        ratio: field(z.number().min(0).max(1), { doc: "share of requests that are copied", unit: "ratio", default: 1 }),
      }),
      { doc: "sends copies of requests to another authority and drops the answers", optional: true },
    ),
  }),
);

const backend = remade(() =>
  z.strictObject({
    service: required(checked(refuseAuthority), { doc: "authority", type: "authority" }),
    weight: field(z.int().min(0).max(1_000_000), { doc: "share of requests; 0: none", unit: "ratio", default: 1 }),
  }),
);

/** What may be written as `routes`: a list, or the file that holds it. `retry` is the schema beside it. */
export function routesSchemas<R extends z.ZodType>(retry: R) {
  const route = z.strictObject({
    name: field(text.max(63), { doc: "for display", defaultText: "method and path that it matches" }),
    match: field(z.union([match(), z.array(match()).min(1)]), {
      doc: "which requests, or a list of which one must match; the most specific route wins, see docs/routing.md",
      type: "object or list",
    }),
    filters: field(filters(), { doc: "what is changed on the way, see docs/routing.md", optional: true }),
    backends: field(z.array(backend()).min(1), {
      doc: "authorities that get these requests, by weight",
      type: "list",
      defaultText: "the authority itself",
    }),
    overrides: field(z.boolean(), {
      doc: "the caller may set timeout and retries of a request by `l5d-timeout`, `l5d-retry-limit`, `l5d-retry-timeout`, `l5d-retry-http` and `l5d-retry-grpc`",
      default: false,
    }),
    timeout: field(duration, {
      doc: "as `timeout` beside `routes`, for these requests",
      defaultText: "as beside `routes`",
    }),
    idleTimeout: field(duration, {
      doc: "as `idleTimeout` beside `routes`, for these requests",
      defaultText: "as beside `routes`",
    }),
    retry: field(retry, { doc: "as `retry` beside `routes`, field by field, for these requests", type: "as `retry`" }),
    fault: field(faultSchema(), {
      doc: "what is done to these requests on purpose, for tests, see docs/protection.md",
      optional: true,
    }),
  });
  const list = z.array(route);
  const file = z.strictObject({
    file: required(text, { doc: "file that holds the list, read anew when it changes", type: "path" }),
  });
  return { list, written: z.union([list, file]) };
}
