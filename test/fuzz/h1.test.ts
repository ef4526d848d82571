import { createServer as createHttpServer, type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import {
  type BodySink,
  ClientConnection,
  type Connection,
  Exchange,
  type ExchangeError,
  type HeaderList,
  resolveHttp1,
  ServerConnection,
  type Sink,
} from "@selvage/http2";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { holds } from "./holds.js";

// Messages that are nearly right: parts that parsers are known to disagree about, and then some random damage.

const pick = <T>(...values: T[]) => fc.constantFrom(...values);
const often = <T>(usual: T, ...odd: T[]) =>
  fc.oneof({ weight: 25, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: pick(...odd) });

const lineEnd = often("\r\n", "\n", "\r", "\r\r\n", "\n\n", "\r\n ", "\0\r\n");
const colon = often(": ", ":", " : ", ":\t", "\t:", ":  ", "", ": \x0b");
const frame = pick(
  ["Content-Length", "5"],
  ["Content-Length", "0"],
  ["content-length", "05"],
  ["Content-Length", "+5"],
  ["Content-Length", "5, 5"],
  ["Content-Length", "5 "],
  ["Content-Length", "0x5"],
  ["Content-Length", "-0"],
  ["Content-Length", ""],
  ["Content_Length", "5"],
  ["Transfer-Encoding", "chunked"],
  ["transfer-encoding", "Chunked"],
  ["Transfer-Encoding", "gzip, chunked"],
  ["Transfer-Encoding", "chunked, chunked"],
  ["Transfer-Encoding", "identity"],
  ["Transfer-Encoding", "\x0bchunked"],
  ["Transfer-Encoding", "xchunked"],
);
const plain = pick(
  ["A", "b"],
  ["X-Empty", ""],
  ["__proto__", "x"],
  ["Connection", "keep-alive"],
  ["Connection", "close"],
  ["Expect", "x"],
  ["Cookie", "a=1; b=2"],
  ["A", "b\0c"],
  ["A", "b\x7fc"],
  ["A", "caf\xe9"],
  ["A(b)", "c"],
  ["A", " padded\t"],
);
const field = fc
  .tuple(fc.oneof(frame, plain), colon, lineEnd)
  .map(([[name, value], c, end]) => `${name}${c}${value}${end}`);
const host = often("Host: a\r\n", "", "Host: a\r\nHost: b\r\n", "Host: u@a\r\n", "host : a\r\n", "Host: \r\n");
const startLine = fc
  .tuple(
    often("POST", "GET", "HEAD", "OPTIONS", "PUT", "FOO", "G@T", ""),
    often(" ", "  ", "\t"),
    often("/x", "/x?y=z", "*", "http://b/x", "http://u@b/", "/a b", "/\xe9", "x", "//", ""),
    often(" ", "  ", ""),
    often("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.10", ""),
    lineEnd,
  )
  .map((parts) => parts.join(""));
const chunk = fc
  .tuple(
    often("5", "05", "+5", "0x5", " 5", "5 ", "4", "6", "5;a=b", "5 ;a", "ffffffffffffffff5", ""),
    lineEnd,
    often("hello", "hell", "\r\n0\r\n"),
    lineEnd,
  )
  .map((parts) => parts.join(""));
const chunks = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    often("0\r\n", "00\r\n", "0\n", "0;x\r\n", ""),
    often("", "T: u\r\n", "Content-Length: 1\r\n", "T: u\n", " T: u\r\n"),
    lineEnd,
  )
  .map(([some, ...rest]) => some.join("") + rest.join(""));
const body = fc.oneof(fc.constant(""), fc.constant("hello"), chunks);
const damage = fc.option(
  fc.tuple(fc.nat(400), pick("", "\r", "\n", "\r\n", "\0", " ", "\t", ":", "\xff", "0", ";", ","), fc.nat(2)),
  { freq: 1, nil: null },
);

function damaged(text: string, how: [number, string, number] | null): string {
  if (how === null || text === "") return text;
  const at = how[0] % text.length;
  return text.slice(0, at) + how[1] + text.slice(at + how[2]);
}

const requestText = fc
  .tuple(
    fc.array(fc.tuple(startLine, host, fc.array(field, { maxLength: 3 }), lineEnd, body), {
      minLength: 1,
      maxLength: 2,
    }),
    damage,
  )
  .map(([messages, how]) => damaged(messages.map(([a, b, c, d, e]) => a + b + c.join("") + d + e).join(""), how));
const statusLine = fc
  .tuple(
    often("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "ICY"),
    often(" ", "  ", ""),
    often("200", "204", "304", "404", "99", "2000", "2x0"),
    often(" OK", "", " "),
    lineEnd,
  )
  .map((parts) => parts.join(""));
const responseText = fc
  .tuple(statusLine, fc.array(field, { maxLength: 3 }), lineEnd, body, damage)
  .map(([a, b, c, d, how]) => damaged(a + b.join("") + c + d, how));

interface Message {
  start: string;
  headers: string[];
  body: string;
  trailers: string[];
  complete: boolean;
}

const hop = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"]);

/** As ours has them: names in lower case, nothing hop-by-hop. */
function comparable(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    if (!hop.has(name)) kept.push(name, headers[i + 1] ?? "");
  }
  return kept;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/** Thousands of connections a second: now and then the kernel refuses one. */
function dial(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const again = () => resolve(dial(port));
    socket.once("error", again);
    socket.once("connect", () => {
      socket.off("error", again);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

/** Sends a text and ends; resolves when the server has closed. */
async function send(port: number, pieces: readonly string[]): Promise<string> {
  const socket = await dial(port);
  return new Promise((resolve) => {
    let received = "";
    socket.on("data", (text) => {
      received += text.toString("latin1");
    });
    socket.on("close", () => resolve(received));
    socket.on("end", () => socket.destroy());
    for (const piece of pieces) socket.write(piece, "latin1");
    socket.end();
  });
}

/** What one server read, with what it needs to be asked. */
interface Reader {
  port: number;
  read: Message[];
  refused: boolean;
  close(): void;
}

function fresh(start: string, headers: readonly string[]): Message {
  return { start, headers: comparable(headers), body: "", trailers: [], complete: false };
}

async function nodeServer(): Promise<Reader> {
  const server = createHttpServer({ keepAliveTimeout: 100, requestTimeout: 1000 });
  const reader: Reader = { port: 0, read: [], refused: false, close: () => server.close() };
  server.on("request", (message: IncomingMessage, response) => {
    const seen = fresh(`${message.method} ${message.url} ${message.httpVersion}`, message.rawHeaders);
    reader.read.push(seen);
    message.on("error", () => {});
    message.on("data", (data: Buffer) => {
      seen.body += data.toString("latin1");
    });
    message.on("end", () => {
      seen.complete = true;
      seen.trailers = comparable(message.rawTrailers);
      response.end();
    });
  });
  // Its own way of handling an expectation it doesn't know is not about reading.
  server.on("checkExpectation", (message, response) => server.emit("request", message, response));
  server.on("clientError", (_, socket) => {
    reader.refused = true;
    socket.destroy();
  });
  reader.port = await listen(server);
  return reader;
}

function connectionOf(socket: Socket): Connection {
  const address = { remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 };
  return { socket, ...address, encrypted: false, protocol: "http/1", context: null, drain() {}, destroy() {} };
}

class Reading implements Sink, BodySink {
  readonly message: Message;
  readonly #over: (error: ExchangeError | null) => void;

  constructor(message: Message, over: (error: ExchangeError | null) => void) {
    this.message = message;
    this.#over = over;
  }

  onInformational(): void {}

  onHead(status: number, headers: HeaderList): void {
    this.message.start = String(status);
    this.message.headers = comparable(headers);
  }

  onData(chunk: Uint8Array): void {
    this.message.body += Buffer.from(chunk).toString("latin1");
  }

  onEnd(trailers: HeaderList | null): void {
    this.message.complete = true;
    this.message.trailers = [...(trailers ?? [])];
    this.#over(null);
  }

  onError(error: ExchangeError): void {
    this.#over(error);
  }
}

/** One exchange on a connection of its own. */
function exchangeOn(socket: Socket, x: Exchange, message: Message): Promise<ExchangeError | null> {
  return new Promise((resolve) => {
    const connection = new ClientConnection(socket, resolveHttp1(), { onIdle() {}, onClosed() {} });
    const over = (error: ExchangeError | null) => {
      setImmediate(() => connection.destroy());
      resolve(error);
    };
    connection.call(x, new Reading(message, over));
  });
}

async function ownServer(): Promise<Reader> {
  const config = resolveHttp1({
    onProtection: () => {
      reader.refused = true;
    },
  });
  const service = {
    call(x: Exchange, sink: Sink): void {
      const target = x.absoluteForm ? `${x.scheme}://${x.authority}${x.path}` : x.path;
      const message = fresh(`${x.method} ${target} ${x.version}`, x.headers);
      const answer = () => {
        message.complete = true;
        sink.onHead(200, ["content-length", "0"]);
        sink.onEnd(null);
      };
      reader.read.push(message);
      if (x.body === null) answer();
      else x.body.pipe(new Reading(message, answer));
    },
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    new ServerConnection(socket, connectionOf(socket), service, config, { onClosed() {} });
  });
  const reader: Reader = { port: 0, read: [], refused: false, close: () => server.close() };
  reader.port = await listen(server);
  return reader;
}

async function readBy(
  reader: Reader,
  ...pieces: string[]
): Promise<{ read: Message[]; refused: boolean; answer: string }> {
  return reads(reader, () => send(reader.port, pieces));
}

/** What a reader makes of what is sent to it. */
async function reads(reader: Reader, sent: () => Promise<string>) {
  reader.read = [];
  reader.refused = false;
  reading++;
  try {
    const answer = await sent();
    return { read: reader.read, refused: reader.refused, answer };
  } finally {
    reading--;
  }
}

// When the time of a property is up, fast-check leaves its last run alone, whose messages must not pass for those of the next.
let reading = 0;

afterEach(async () => {
  while (reading > 0) await new Promise((resolve) => setImmediate(resolve));
});

function cut(text: string, places: readonly number[]): string[] {
  const at = [...new Set(places.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => text.slice(from, at[i] ?? text.length)).filter((piece) => piece !== "");
}

let node: Reader;
let own: Reader;

beforeAll(async () => {
  node = await nodeServer();
  own = await ownServer();
});

afterAll(() => {
  node.close();
  own.close();
});

describe("requests", () => {
  test("mean what they mean to node:http, or are refused", async () => {
    let accepted = 0;
    await holds(
      "mean what they mean to node:http, or are refused",
      fc.asyncProperty(requestText, async (text) => {
        const [ours, theirs] = [await readBy(own, text), await readBy(node, text)];
        const complete = ours.read.filter((message) => message.complete);
        for (const [i, message] of complete.entries()) {
          const other = theirs.read[i];
          // It may refuse what we take (methods that it doesn't know). It may not take it for something else.
          if (other === undefined || (!other.complete && theirs.refused)) break;
          expect(message).toEqual(other);
          accepted++;
        }
        if (!ours.refused && !/^Connection/im.test(text))
          expect(theirs.read.length).toBeLessThanOrEqual(ours.read.length);
      }),
    );
    expect(accepted).toBeGreaterThan(20);
  });

  test("mean the same however they are cut into chunks", async () => {
    await holds(
      "mean the same however they are cut into chunks",
      fc.asyncProperty(requestText, fc.array(fc.nat(2000), { maxLength: 8 }), async (text, places) => {
        const [whole, pieces] = [await readBy(own, text), await readPieces(cut(text, places))];
        expect(pieces).toEqual(whole);
      }),
    );
  });

  /** Each piece in a read of its own. */
  function readPieces(pieces: string[]) {
    return reads(own, () => sendApart(pieces));
  }

  async function sendApart(pieces: string[]): Promise<string> {
    const socket = await dial(own.port);
    return new Promise<string>((resolve) => {
      let received = "";
      socket.on("data", (text) => {
        received += text.toString("latin1");
      });
      socket.on("close", () => resolve(received));
      socket.on("end", () => socket.destroy());
      const next = () => {
        const piece = pieces.shift();
        if (piece === undefined) socket.end();
        else socket.write(piece, "latin1", () => setImmediate(() => setImmediate(next)));
      };
      next();
    });
  }
});

describe("responses", () => {
  let answering: Server;
  let port = 0;
  let text = "";

  beforeAll(async () => {
    answering = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(text, "latin1"));
    });
    port = await listen(answering);
  });

  afterAll(() => {
    answering.close();
  });

  const readByNode = () =>
    new Promise<Message | null>((resolve) => {
      const asked = request({ port, host: "127.0.0.1", agent: false, method: "GET" });
      asked.on("error", () => resolve(null));
      asked.on("upgrade", () => resolve(null));
      asked.on("response", (response) => {
        const message = fresh(String(response.statusCode), response.rawHeaders);
        response.on("data", (data: Buffer) => {
          message.body += data.toString("latin1");
        });
        response.on("error", () => resolve(null));
        response.on("end", () => {
          message.complete = response.complete;
          message.trailers = comparable(response.rawTrailers);
          resolve(message.complete ? message : null);
        });
      });
      asked.end();
    });

  const readByOwn = async () => {
    const socket = await dial(port);
    const message = fresh("", []);
    const error = await exchangeOn(socket, Object.assign(new Exchange(), { authority: "a" }), message);
    return error === null ? message : null;
  };

  test("mean what they mean to node:http, or are refused", async () => {
    let accepted = 0;
    await holds(
      "mean what they mean to node:http, or are refused",
      fc.asyncProperty(responseText, async (generated) => {
        text = generated;
        const [ours, theirs] = [await readByOwn(), await readByNode()];
        if (ours === null || theirs === null) return;
        accepted++;
        expect(ours).toEqual(theirs);
      }),
    );
    expect(accepted).toBeGreaterThan(20);
  });
});

describe("what is written", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc
      .array(pick("a", "\r\n", "\n", "\r", "\0", " ", "x: y", "\u010a", "\u010d", "\xe9"), { maxLength: 6 })
      .map((parts) => parts.join("")),
  );
  const name = fc.oneof({ weight: 5, arbitrary: pick("a", "x-b", "cookie") }, { weight: 1, arbitrary: value });
  const headers = fc.array(fc.tuple(name, value), { maxLength: 3 }).map((pairs) => pairs.flat());

  test("as a request is read by node:http as exactly one request with these headers, or isn't written", async () => {
    let sent = 0;
    await holds(
      "as a request is read by node:http as exactly one request with these headers, or isn't written",
      fc.asyncProperty(
        headers,
        fc.oneof(fc.constant("/"), value),
        fc.oneof(fc.constant("GET"), value),
        async (list, path, method) => {
          node.read = [];
          const x = Object.assign(new Exchange(), { authority: "a", headers: list, path, method });
          const error = await exchangeOn(await dial(node.port), x, fresh("", []));
          if (error !== null) {
            expect(node.read).toEqual([]);
            return;
          }
          sent++;
          expect(node.read).toHaveLength(1);
          expect(node.read[0]?.start).toBe(`${method} ${path} 1.1`);
          // Cookies are joined into one; other fields stand as they were given, but for the spaces around them.
          const read = node.read[0]?.headers ?? [];
          const expected = comparable(list).flatMap((text, i) =>
            i % 2 === 1 ? [text.replace(/^[ \t]+|[ \t]+$/g, "")] : [text],
          );
          if (!expected.includes("cookie")) expect(read).toEqual(["host", "a", ...expected]);
        },
      ),
    );
    expect(sent).toBeGreaterThan(20);
  });
});
