import { EventEmitter } from "node:events";
import { createServer, ServerResponse } from "node:http";
import { type Clock, systemClock } from "../../clock.js";
import { type Body, type BodySink, Exchange, type HeaderList, type Sink } from "../../exchange.js";
import type { NodeRequest, NodeResponse } from "./node-internals.js";
import { ObjectExit } from "./object-exit.js";

/** What the self-test of the object seam found on this Node. */
export interface SeamReport {
  readonly ok: boolean;
  readonly node: string;
  readonly checks: readonly SeamCheck[];
}

export interface SeamCheck {
  readonly name: string;
  readonly ok: boolean;
  /** What was found instead; empty when it is as it should be. */
  readonly found: string;
}

let report: SeamReport | null = null;

/**
 * Whether Node's HTTP objects work as the object seam needs them to. Tried once a process, on a server that doesn't
 * listen, in about a millisecond; when a check fails, applications are served by the slower pair seam, which uses documented
 * interfaces only.
 */
export function seamReport(): SeamReport {
  report ??= probe();
  return report;
}

class Tape implements Sink {
  readonly calls: string[] = [];
  headers: HeaderList = [];
  onInformational(status: number, headers: HeaderList): void {
    this.calls.push(`${status} ${headers.join(" ")}`.trim());
  }
  onHead(status: number, headers: HeaderList): void {
    this.headers = headers;
    this.calls.push(`head ${status}`);
  }
  onData(chunk: Uint8Array): void {
    this.calls.push(`data ${chunk.length}`);
  }
  onEnd(trailers: HeaderList | null): void {
    this.calls.push(trailers === null ? "end" : `end ${trailers.join(" ")}`);
  }
  onError(): void {
    this.calls.push("error");
  }
  get text(): string {
    return this.calls.join(", ");
  }
}

class ProbeBody implements Body {
  readonly length = -1;
  sink: BodySink | null = null;
  calls = "";
  pipe(sink: BodySink): void {
    this.sink = sink;
  }
  pause(): void {
    this.calls += "p";
  }
  resume(): void {
    this.calls += "r";
  }
  cancel(): void {
    this.calls += "c";
  }
}

type App = (req: NodeRequest, res: NodeResponse) => void;
type Check = (run: (app: App, change?: (x: Exchange) => void) => Tape) => unknown;

/** Each check returns what it sees, and the value that this must be. */
const checks: readonly (readonly [name: string, check: Check, expected: unknown])[] = [
  [
    "end() with a body gives head, data and end",
    (run) => run((_, res) => res.end("abc")).text,
    "head 200, data 3, end",
  ],
  ["end() without a body gives head and end", (run) => run((_, res) => res.end()).text, "head 200, end"],
  [
    "the length of a body is declared",
    (run) =>
      run((_, res) => res.end("abc"))
        .headers.slice(-2)
        .join(),
    "content-length,3",
  ],
  [
    "headers set one by one arrive",
    (run) => {
      const tape = run((_, res) => {
        res.setHeader("X-One", ["1", "2"]);
        res.sendDate = false;
        res.end();
      });
      return tape.headers.join();
    },
    "x-one,1,x-one,2,content-length,0",
  ],
  [
    "headers of writeHead() arrive",
    (run) => run((_, res) => res.writeHead(201, { "X-One": 1, Date: "d" }).end()).headers.join(),
    "x-one,1,date,d",
  ],
  [
    "the response to HEAD has no body",
    (run) =>
      run(
        (_, res) => res.end("abc"),
        (x) => {
          x.method = "HEAD";
        },
      ).text,
    "head 200, end",
  ],
  ["204 has no body", (run) => run((_, res) => res.writeHead(204).end("abc")).text, "head 204, end"],
  [
    "writes are passed on at once, unframed",
    (run) => {
      let seen = "";
      run((_, res) => {
        const tape = tapeOf(res);
        res.write("abc");
        res.write("de");
        seen = tape.text;
        res.end();
      });
      return seen;
    },
    "head 200, data 3, data 2",
  ],
  ["flushHeaders() gives the head", (run) => run((_, res) => res.flushHeaders()).text, "head 200"],
  ["writeContinue() gives a 100", (run) => run((_, res) => res.writeContinue()).text, "100"],
  [
    "writeEarlyHints() gives a 103",
    (run) => run((_, res) => res.writeEarlyHints({ link: "</a>; rel=preload" })).text,
    "103 link </a>; rel=preload",
  ],
  [
    "trailers come with the end",
    (run) => {
      const tape = run((_, res) => {
        res.write("abc");
        res.addTrailers({ "X-T": "1" });
        res.end();
      });
      return tape.text;
    },
    "head 200, data 3, end x-t 1",
  ],
  [
    "headersSent is true after the head",
    (run) => {
      let seen: unknown;
      run((_, res) => {
        const before = res.headersSent;
        res.flushHeaders();
        seen = `${before} ${res.headersSent}`;
      });
      return seen;
    },
    "false true",
  ],
  [
    "a paused response asks for 'drain', and gets it",
    (run) => {
      let seen = "";
      run((_, res) => {
        const flow = flowOf(res);
        res.write("a");
        flow.pause();
        seen += `${res.write("b")} ${res.writableNeedDrain}`;
        res.once("drain", () => {
          seen += ` drain ${res.writableNeedDrain}`;
        });
        flow.resume();
        flow.flush();
      });
      return seen;
    },
    "false true drain false",
  ],
  [
    "the overrides survive an exchange of prototypes",
    (run) => {
      const tape = run((_, res) => {
        Object.setPrototypeOf(res, Object.create(ServerResponse.prototype));
        res.end("abc");
      });
      return tape.text;
    },
    "head 200, data 3, end",
  ],
  [
    "a patched end() that ends later is noticed",
    (run) => {
      let later: (() => void) | null = null;
      const tape = run((_, res) => {
        const end = res.end;
        res.end = ((chunk: string) => {
          later = () => end.call(res, chunk, "utf8");
        }) as never;
        res.end("abc");
      });
      (later as (() => void) | null)?.();
      return tape.text;
    },
    "head 200, data 3, end",
  ],
  [
    "request headers are read from their list",
    (run) => {
      let seen = "";
      run(
        (req) => {
          seen = `${req.rawHeaders.join()} ${req.headers.cookie} ${req.headers.host}`;
        },
        (x) => {
          x.headers = ["cookie", "a=1", "cookie", "b=2"];
        },
      );
      return seen;
    },
    "host,probe,cookie,a=1; b=2 a=1; b=2 probe",
  ],
  [
    "a body is read with back pressure, and its trailers too",
    (run) => {
      const body = new ProbeBody();
      let seen = "";
      let request: NodeRequest | null = null;
      run(
        (req) => {
          request = req;
        },
        (x) => {
          x.body = body;
        },
      );
      const req = request as NodeRequest | null;
      if (req === null) return "no request";
      body.sink?.onData(new Uint8Array(1 << 20));
      seen += `${body.calls} `;
      seen += `${req.read()?.length} ${body.calls} `;
      body.sink?.onEnd(["x-t", "1"]);
      seen += `${req.complete} ${req.trailers["x-t"]}`;
      return seen;
    },
    "p 1048576 pr true 1",
  ],
  [
    "destroying the request reaches the exchange",
    (run) => {
      let aborted = false;
      const tape = run((req) => {
        req.once("aborted", () => {
          aborted = true;
        });
        req.destroy();
      });
      return `${tape.text} ${aborted}`;
    },
    "error true",
  ],
  ["destroying the response reaches the exchange", (run) => run((_, res) => res.destroy()).text, "error"],
];

const tapes = new WeakMap<object, Tape>();
const flows = new WeakMap<object, ProbeFlow>();

interface ProbeFlow {
  pause(): void;
  resume(): void;
  flush(): void;
}

function tapeOf(res: NodeResponse): Tape {
  return tapes.get(res) as Tape;
}

function flowOf(res: NodeResponse): ProbeFlow {
  return flows.get(res) as ProbeFlow;
}

/** Tries the seam, each time anew. For `seamReport`, and for tests. */
export function probe(clock: Clock = systemClock): SeamReport {
  const results: SeamCheck[] = [];
  for (const [name, check, expected] of checks) {
    let found: unknown;
    try {
      found = check((app, change) => runApp(clock, app, change));
    } catch (error) {
      found = error;
    }
    const ok = found === expected;
    results.push(Object.freeze({ name, ok, found: ok ? "" : String(found) }));
  }
  return Object.freeze({
    ok: results.every((result) => result.ok),
    node: process.versions.node,
    checks: Object.freeze(results),
  });
}

function runApp(clock: Clock, app: App, change?: (x: Exchange) => void): Tape {
  const tape = new Tape();
  let failure: unknown = null;
  const x = new Exchange();
  x.version = "2.0";
  x.authority = "probe";
  const server = createServer((req, res) => {
    tapes.set(res, tape);
    flows.set(res, x.flow as unknown as ProbeFlow);
    try {
      app(req as never, res as never);
    } catch (error) {
      failure = error;
    }
  });
  change?.(x);
  // Telemetry that patches the prototype or listens to channels must not take this for traffic.
  server.emit = EventEmitter.prototype.emit;
  new ObjectExit(server, clock, false).call(x, tape);
  if (failure !== null) throw failure;
  return tape;
}
