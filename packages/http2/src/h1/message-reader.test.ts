import { describe, expect, test } from "vitest";
import type { HeaderList } from "../exchange.js";
import { chunkedBody, lengthBody, requestFraming, responseFraming } from "./body-framing.js";
import { resolveHttp1 } from "./limits.js";
import { MessageReader } from "./message-reader.js";
import { RequestLine } from "./request-line.js";
import { StatusLine } from "./status-line.js";
import type { Violation } from "./violation.js";

const { limits } = resolveHttp1({
  maxHeadBytes: 4096,
  maxRequestLineBytes: 1024,
  maxTrailerBytes: 1024,
  maxFields: 20,
});

/**
 * Reads all of `pieces` and says what it saw, in a form that doesn't depend on how data was cut. Once as they are, and once lent: overwritten as
 * soon as they were fed.
 */
function readRequests(...pieces: (string | Buffer)[]): string[] {
  const seen = readPieces(pieces, false);
  expect(readPieces(pieces, true)).toEqual(seen);
  return seen;
}

function readPieces(pieces: readonly (string | Buffer)[], lent: boolean): string[] {
  const seen: (() => string)[] = [];
  let body: Buffer[] = [];
  const line = new RequestLine(limits);
  const reader: MessageReader<RequestLine> = new MessageReader(line, limits, limits.maxLeadingLines, {
    onMessageHead() {
      const { fields } = reader;
      const { method, path, version } = line;
      const text = `${method} ${line.authority ?? fields.host} ${path} ${version} ${fields.headers.join("|")}`;
      seen.push(() => text);
      const framing = requestFraming(fields);
      if (framing === lengthBody) reader.expectLength(fields.contentLength);
      else if (framing === chunkedBody) reader.expectChunked();
      else reader.expectHead();
      // Whoever takes a message may want the rest of what came with it later.
      if (lent && framing !== lengthBody) reader.paused = true;
    },
    onBodyData(chunk: Buffer) {
      body.push(chunk);
    },
    onBodyEnd(trailers: HeaderList | null) {
      const chunks = body;
      body = [];
      seen.push(() => {
        const end = trailers === null ? "" : ` trailers ${trailers.join("|")}`;
        return `body ${Buffer.concat(chunks).toString("latin1")}${end}`;
      });
      reader.expectHead();
    },
    onRefused(violation: Violation) {
      seen.push(() => violation.reason);
    },
  });
  reader.lent = lent;
  for (const piece of pieces) {
    const chunk = Buffer.from(piece as string, "latin1");
    reader.feed(chunk);
    if (!lent) continue;
    chunk.fill("!");
    while (reader.paused) {
      reader.paused = false;
      reader.run();
    }
  }
  return seen.map((text) => text());
}

function readResponse(text: string): string {
  let seen = "nothing";
  const line = new StatusLine();
  const reader: MessageReader<StatusLine> = new MessageReader(line, limits, 0, {
    onMessageHead() {
      seen = `${line.version} ${line.status} framing ${responseFraming(reader.fields, line.status, "GET")}`;
    },
    onBodyData() {},
    onBodyEnd() {},
    onRefused(violation: Violation) {
      seen = violation.reason;
    },
  });
  reader.feed(Buffer.from(text, "latin1"));
  return seen;
}

const ok = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const get = (fields: string) => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const post = (fields: string, body = "") => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
const chunked = (body: string) => post("Transfer-Encoding: chunked\r\n", body);

describe("a request", () => {
  test("is read with its names in lower case and without hop-by-hop fields", () => {
    const fields =
      "X-One:  1 \r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nConnection: keep-alive, X-Hop\r\nx-hop: 1\r\n";
    expect(readRequests(get(fields))).toEqual(["GET a / 1.1 host|a|x-one|1"]);
  });

  test("may repeat a name, and may have empty values", () => {
    expect(readRequests(get("A: 1\r\na:\r\nA: 2\r\n"))).toEqual(["GET a / 1.1 host|a|a|1|a||a|2"]);
  });

  test("may have names of Object.prototype", () => {
    const fields = "__proto__: 1\r\nconstructor: 2\r\ntoString: 3\r\nhasOwnProperty: 4\r\n";
    expect(readRequests(get(fields))).toEqual([
      "GET a / 1.1 host|a|__proto__|1|constructor|2|tostring|3|hasownproperty|4",
    ]);
  });

  test("follows another in the same chunk", () => {
    expect(readRequests(ok + ok + ok)).toHaveLength(3);
  });

  test("is the same when only its first line changes", () => {
    expect(readRequests(ok, ok, ok.replace("/ ", "/2 "), ok)).toEqual([
      "GET a / 1.1 host|a",
      "GET a / 1.1 host|a",
      "GET a /2 1.1 host|a",
      "GET a / 1.1 host|a",
    ]);
  });

  test("may come again with what follows it, in pieces, or almost", () => {
    const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    const one = ["POST a / 1.1 host|a|content-length|2", "body hi"];
    const all = `${head}hi`;
    expect(readRequests(all, all, `${all}${all}`, head.slice(0, -1), `\nhi${head}`, "hi")).toEqual(
      new Array(6).fill(one).flat(),
    );
    const other = head.replace("Host: a", "Host: b");
    expect(readRequests(all, all, `${other}hi`, all)).toEqual([
      ...one,
      ...one,
      "POST b / 1.1 host|b|content-length|2",
      "body hi",
      ...one,
    ]);
    expect(readRequests(all, all, `${head.replace("Length: 2", "Length: x")}hi`).at(-1)).toBe("h1-content-length");
  });

  test("whose fields repeat is still checked against its first line", () => {
    const fields = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect(readRequests(`POST / HTTP/1.1\r\n${fields}`, `POST / HTTP/1.0\r\n${fields}`).at(-1)).toBe(
      "h1-transfer-encoding-in-1.0",
    );
    expect(readRequests("GET / HTTP/1.0\r\nA: 1\r\n\r\n", "GET / HTTP/1.1\r\nA: 1\r\n\r\n").at(-1)).toBe(
      "h1-host-missing",
    );
  });

  test("with te keeps trailers only", () => {
    expect(readRequests(get("TE: gzip, Trailers;q=1\r\nConnection: TE\r\n"))).toEqual(["GET a / 1.1 host|a"]);
    expect(readRequests(get("TE: gzip, trailers\r\nConnection: TE\r\n"))).toEqual(["GET a / 1.1 host|a|te|trailers"]);
  });

  test("can't remove with Connection what others frame, route or trust by", () => {
    const fields =
      "Connection: host, content-length, authorization, cookie, x-forwarded-for, l5d-client-id, te\r\n" +
      "Authorization: b\r\nCookie: c\r\nX-Forwarded-For: d\r\nl5d-client-id: e\r\nContent-Length: 0\r\n";
    expect(readRequests(get(fields))).toEqual([
      "GET a / 1.1 host|a|authorization|b|cookie|c|x-forwarded-for|d|l5d-client-id|e|content-length|0",
    ]);
  });

  test("may have empty lines before it", () => {
    expect(readRequests(`\r\n\r\n${ok}`)).toHaveLength(1);
  });

  test("in absolute form has the authority of its target, and keeps Host", () => {
    expect(readRequests("GET http://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual(["GET b:1 /x?y 1.1 host|a"]);
    expect(readRequests("GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual(["GET b /?y 1.1 host|a"]);
    expect(readRequests("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual(["OPTIONS b * 1.1 host|a"]);
    expect(readRequests("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).toEqual(["OPTIONS a * 1.1 host|a"]);
  });

  test("in HTTP/1.0 needs no Host", () => {
    expect(readRequests("GET /x HTTP/1.0\r\n\r\n")).toEqual(["GET null /x 1.0 "]);
  });
});

describe("a request is refused when it has", () => {
  const long = "x".repeat(5000);
  test.each<[string, string, string]>([
    [
      "both content-length and transfer-encoding",
      post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
      "content-length-and-transfer-encoding",
    ],
    [
      "transfer-encoding before content-length",
      post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
      "content-length-and-transfer-encoding",
    ],
    ["two content-lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n"), "content-length-repeated"],
    ["the same content-length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n"), "content-length-repeated"],
    [
      "content-length twice in different cases",
      post("Content-Length: 5\r\ncontent-length: 6\r\n"),
      "content-length-repeated",
    ],
    ["a list as content-length", post("Content-Length: 5, 5\r\n"), "content-length"],
    ["a signed content-length", post("Content-Length: +5\r\n"), "content-length"],
    ["a negative content-length", post("Content-Length: -5\r\n"), "content-length"],
    ["a space in content-length", post("Content-Length: 5 5\r\n"), "content-length"],
    ["a hexadecimal content-length", post("Content-Length: 0x5\r\n"), "content-length"],
    ["a fractional content-length", post("Content-Length: 5.0\r\n"), "content-length"],
    ["an exponent in content-length", post("Content-Length: 5e3\r\n"), "content-length"],
    ["an octal-looking content-length", post("Content-Length: 010\r\n"), "content-length"],
    ["an empty content-length", post("Content-Length:\r\n"), "content-length"],
    ["a huge content-length", post("Content-Length: 18446744073709551617\r\n"), "content-length"],
    ["an obscured content-length", post("Content-Length\x00: 5\r\n"), "field-name"],
    ["gzip as transfer-encoding", post("Transfer-Encoding: gzip\r\n"), "transfer-encoding"],
    ["gzip, chunked as transfer-encoding", post("Transfer-Encoding: gzip, chunked\r\n"), "transfer-encoding"],
    ["chunked, identity as transfer-encoding", post("Transfer-Encoding: chunked, identity\r\n"), "transfer-encoding"],
    ["identity as transfer-encoding", post("Transfer-Encoding: identity\r\n"), "transfer-encoding"],
    ["xchunked as transfer-encoding", post("Transfer-Encoding: xchunked\r\n"), "transfer-encoding"],
    ["quoted chunked as transfer-encoding", post('Transfer-Encoding: "chunked"\r\n'), "transfer-encoding"],
    ["chunked in capitals as transfer-encoding", post("Transfer-Encoding: CHUNKED\r\n"), "transfer-encoding"],
    ["chunked with a vertical tab as transfer-encoding", post("Transfer-Encoding: \x0bchunked\r\n"), "field-value"],
    [
      "transfer-encoding twice",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
      "transfer-encoding",
    ],
    ["an empty transfer-encoding", post("Transfer-Encoding:\r\n"), "transfer-encoding"],
    [
      "transfer-encoding in HTTP/1.0",
      "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      "transfer-encoding-in-1.0",
    ],
    ["a space before the colon", get("A : 1\r\n"), "space-before-colon"],
    ["a tab before the colon", get("Transfer-Encoding\t: chunked\r\n"), "space-before-colon"],
    ["a space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "obs-fold"],
    ["a folded line", get("A: 1\r\n 2\r\n"), "obs-fold"],
    ["a line folded with a tab", get("A: 1\r\n\tTransfer-Encoding: chunked\r\n"), "obs-fold"],
    ["a line without a colon", get("abc\r\n"), "field-name"],
    ["a line without a name", get(": 1\r\n"), "field-name"],
    ["a name that is no token", get("a(b): 1\r\n"), "field-name"],
    ["a name beyond ASCII", get("n\xe9e: 1\r\n"), "field-name"],
    ["NUL in a value", get("A: b\x00c\r\n"), "field-value"],
    ["a control character in a value", get("A: b\x01c\r\n"), "field-value"],
    ["DEL in a value", get("A: b\x7fc\r\n"), "field-value"],
    ["a bare CR in a value", get("A: b\rc\r\n"), "line-ending"],
    ["a bare LF after a field", get("A: b\nc: d\r\n"), "line-ending"],
    ["only bare LFs", "GET / HTTP/1.1\nHost: a\n\n", "line-ending"],
    ["a bare LF before the empty line", "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", "line-ending"],
    ["CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "line-ending"],
    ["a bare CR as the first octet", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "line-ending"],
    ["a bare LF as the first octet", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "line-ending"],
    ["a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"],
    ["no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", "method"],
    ["NUL in the method", "GE\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"],
    ["no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"],
    ["a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"],
    ["a space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "request-line"],
    ["a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["octets beyond ASCII in the target", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["the target * with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["an absolute target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["an absolute target with userinfo", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["an absolute target without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["an absolute target and no Host", "GET http://a/ HTTP/1.1\r\n\r\n", "host-missing"],
    ["an authority-form target without CONNECT", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["an origin-form target with CONNECT", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "target"],
    ["CONNECT in HTTP/1.0", "CONNECT a:1 HTTP/1.0\r\nHost: a\r\n\r\n", "target"],
    ["CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "connect-body"],
    [
      "CONNECT with a chunked body",
      "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      "connect-body",
    ],
    ["HTTP/0.9", "GET /\r\n\r\n", "request-line"],
    ["HTTP/2.0 as text", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"],
    ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", "version"],
    ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"],
    ["a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", "request-line"],
    ["HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "request-line"],
    ["no Host", "GET / HTTP/1.1\r\nA: 1\r\n\r\n", "host-missing"],
    ["two Hosts", get("Host: b\r\n"), "host-repeated"],
    ["the same Host twice", get("host: a\r\n"), "host-repeated"],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "host-invalid"],
    ["userinfo in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "host-invalid"],
    ["a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host-invalid"],
    ["a space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host-invalid"],
    ["a list in Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "host-invalid"],
    ["a port beyond 65535 in Host", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "host-invalid"],
    ["percent-encoding in Host", "GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", "host-invalid"],
    ["a Connection that is no list of tokens", get("Connection: a b\r\n"), "connection"],
    ["too many Connection options", get(`Connection: ${"a,".repeat(40)}\r\n`), "connection"],
    ["too long a request line", `GET /${"x".repeat(1100)} HTTP/1.1\r\nHost: a\r\n\r\n`, "target-too-long"],
    ["too large a head", get(`A: ${long}\r\n`), "head-too-large"],
    ["too large a head without an end", `GET / HTTP/1.1\r\nHost: a\r\nA: ${long}`, "head-too-large"],
    ["too many fields", get("A: 1\r\n".repeat(20)), "too-many-fields"],
    ["too many empty lines before it", `${"\r\n".repeat(5)}${ok}`, "leading-lines"],
  ])("%s", (_, text, reason) => {
    expect(readRequests(text)).toEqual([`h1-${reason}`]);
    expect(readRequests(...text)).toEqual([`h1-${reason}`]);
    expect(readRequests(ok, text).at(-1)).toBe(`h1-${reason}`);
  });
});

describe("a chunked body", () => {
  test("is read with its trailers, extensions and leading zeros", () => {
    const text = chunked('5;a=b;c="d"\r\nhello\r\n0006\r\n world\r\n000;x\r\nA: 1\r\nB: 2\r\n\r\n');
    expect(readRequests(text)).toEqual(["POST a / 1.1 host|a", "body hello world trailers a|1|b|2"]);
    expect(readRequests(...text)).toEqual(readRequests(text));
  });

  test("may be empty", () => {
    expect(readRequests(chunked(`0\r\n\r\n${ok}`))).toEqual(["POST a / 1.1 host|a", "body ", "GET a / 1.1 host|a"]);
  });

  test.each<[string, string, string]>([
    ["a sign", "+5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a negative size", "-5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["0x", "0x5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["an empty size", "\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["an extension without a size", ";a\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["endless zeros", `${"0".repeat(50)}5\r\nhello`, "chunk-size"],
    ["an underscore", "5_0\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a bare LF after the size", "5\nhello\r\n0\r\n\r\n", "line-ending"],
    ["a bare CR after the size", "5\rhello\r\n0\r\n\r\n", "line-ending"],
    ["a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n", "line-ending"],
    ["NUL in an extension", "5;a\x00\r\nhello\r\n0\r\n\r\n", "chunk-extension"],
    ["huge extensions", `5;${"a".repeat(5000)}\r\nhello\r\n0\r\n\r\n`, "chunk-extension"],
    ["extensions that are huge together", `1;${"a".repeat(100)}\r\nh\r\n`.repeat(50), "chunk-extension"],
    ["more data than its size", "4\r\nhello\r\n0\r\n\r\n", "chunk-end"],
    ["a bare LF after the data", "5\r\nhello\n0\r\n\r\n", "chunk-end"],
    ["no line end after the data", "5\r\nhello0\r\n\r\n", "chunk-end"],
    ["content-length in the trailers", "0\r\nContent-Length: 5\r\n\r\n", "trailer-field"],
    ["transfer-encoding in the trailers", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "trailer-field"],
    ["host in the trailers", "0\r\nHost: b\r\n\r\n", "trailer-field"],
    ["authorization in the trailers", "0\r\nAuthorization: b\r\n\r\n", "trailer-field"],
    ["connection in the trailers", "0\r\nConnection: close\r\n\r\n", "trailer-field"],
    ["a forged identity in the trailers", "0\r\nl5d-client-id: b\r\n\r\n", "trailer-field"],
    ["a folded line in the trailers", "0\r\nA: 1\r\n 2\r\n\r\n", "obs-fold"],
    ["a bare LF in the trailers", "0\r\nA: 1\n\r\n\r\n", "line-ending"],
    ["a bare LF at the end of the trailers", "0\r\n\n", "line-ending"],
    ["too large trailers", `0\r\n${"A: 12345678\r\n".repeat(200)}\r\n`, "trailers-too-large"],
    ["too many trailers", `0\r\n${"A: 1\r\n".repeat(65)}\r\n`, "trailers-too-large"],
  ])("is refused when it has %s", (_, body, reason) => {
    expect(readRequests(chunked(body)).at(-1)).toBe(`h1-${reason}`);
    expect(readRequests(...chunked(body)).at(-1)).toBe(`h1-${reason}`);
  });
});

describe("a response head", () => {
  test.each<[string, string]>([
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "1.1 200 framing 1"],
    ["HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "1.1 200 framing 2"],
    ["HTTP/1.1 200\r\n\r\n", "1.1 200 framing 3"],
    ["HTTP/1.0 404 Not Found\r\n\r\n", "1.0 404 framing 3"],
    ["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "1.1 204 framing 0"],
    ["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "1.1 304 framing 0"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "1.1 200 framing 0"],
    ["HTTP/1.1 99 Low\r\n\r\n", "h1-status-line"],
    ["HTTP/1.1 2000 High\r\n\r\n", "h1-status-line"],
    ["HTTP/1.1 abc OK\r\n\r\n", "h1-status-line"],
    ["HTTP/1.1  200 OK\r\n\r\n", "h1-status-line"],
    ["HTTP/1.1 200\tOK\r\n\r\n", "h1-status-line"],
    ["HTTP/1.1 200 O\rK\r\n\r\n", "h1-line-ending"],
    ["HTTP/2.0 200 OK\r\n\r\n", "h1-version"],
    ["HTTP/0.9 200 OK\r\n\r\n", "h1-version"],
    ["ICY 200 OK\r\n\r\n", "h1-status-line"],
    ["\r\nHTTP/1.1 200 OK\r\n\r\n", "h1-leading-lines"],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "h1-transfer-encoding-in-1.0"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "h1-transfer-encoding"],
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "h1-content-length-and-transfer-encoding",
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "h1-content-length-repeated"],
    ["HTTP/1.1 200 OK\nContent-Length: 5\n\n", "h1-line-ending"],
  ])("%j is %s", (text, expected) => {
    expect(readResponse(text)).toBe(expected);
  });
});

describe("a reader", () => {
  test("reads nothing while paused, and goes on where it was", () => {
    let body = "";
    const line = new RequestLine(limits);
    const reader: MessageReader<RequestLine> = new MessageReader(line, limits, 0, {
      onMessageHead() {
        reader.expectChunked();
      },
      onBodyData(chunk: Buffer) {
        body += chunk.toString();
        reader.paused = true;
      },
      onBodyEnd() {
        body += ".";
      },
      onRefused() {},
    });
    reader.feed(Buffer.from(chunked("1\r\na\r\n1\r\nb\r\n0\r\n\r\n")));
    expect([body, reader.holding]).toEqual(["a", true]);
    reader.paused = false;
    reader.run();
    expect(body).toBe("ab");
    reader.paused = false;
    reader.run();
    expect([body, reader.holding]).toEqual(["ab.", false]);
  });
});
