import { type Body, Exchange, type HeaderList, type HttpVersion } from "../exchange.js";
import { TestBody } from "./test-body.js";

/** What a test cares about in a request; the rest is a plain `GET http://test.example/`. */
export interface TestExchange {
  method?: string;
  scheme?: "http" | "https";
  authority?: string;
  path?: string;
  version?: HttpVersion;
  absoluteForm?: boolean;
  tunnel?: boolean;
  /** Lower-case names. `host` is added for HTTP/1 when it isn't there and there is an authority. */
  headers?: Readonly<Record<string, string>> | HeaderList;
  /** A string or bytes become a body of that length, with `content-length`. */
  body?: Body | Uint8Array | string | null;
}

/** Builds a request as an entry would hand it over. */
export function exchange(request: TestExchange = {}): Exchange {
  const x = new Exchange();
  x.method = request.method ?? (request.body == null ? "GET" : "POST");
  x.scheme = request.scheme ?? "http";
  x.authority = request.authority ?? "test.example";
  x.path = request.path ?? "/";
  x.version = request.version ?? "1.1";
  x.absoluteForm = request.absoluteForm ?? false;
  x.tunnel = request.tunnel ?? false;
  const headers: string[] = isList(request.headers)
    ? [...request.headers]
    : Object.entries(request.headers ?? {}).flat();
  if (x.version !== "2.0" && x.authority !== "" && !headers.includes("host")) headers.unshift("host", x.authority);
  x.body = request.body == null ? null : bodyOf(request.body, headers);
  x.headers = headers;
  return x;
}

function bodyOf(given: Body | Uint8Array | string, headers: string[]): Body {
  if (typeof given !== "string" && !(given instanceof Uint8Array)) return given;
  const bytes = typeof given === "string" ? Buffer.from(given) : given;
  if (!headers.includes("content-length")) headers.push("content-length", String(bytes.length));
  const body = new TestBody(bytes.length);
  if (bytes.length > 0) body.push(bytes);
  body.end();
  return body;
}

function isList(headers: TestExchange["headers"]): headers is HeaderList {
  return Array.isArray(headers);
}
