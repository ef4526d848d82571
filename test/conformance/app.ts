import { createHash } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

/** What the application of every server cell remembers, so that cases can ask what reached it. */
export class AppLog {
  readonly hits = new Map<string, number>();
  /** Settled when the request of that key was seen to end before its response did. */
  readonly #aborted = new Map<string, () => void>();

  readonly #held = new Map<string, (answer: () => void) => void>();

  hit(key: string): number {
    const count = (this.hits.get(key) ?? 0) + 1;
    this.hits.set(key, count);
    return count;
  }

  /** Resolves when a request of that key arrived at `/held`, which answers as soon as that is called. */
  held(key: string): Promise<() => void> {
    return new Promise((resolve) => this.#held.set(key, resolve));
  }

  hold(key: string, answer: () => void): void {
    this.#held.get(key)?.(answer);
  }

  /** Resolves when the application hears that the caller of that key is gone. */
  abortOf(key: string): Promise<void> {
    return new Promise((resolve) => this.#aborted.set(key, resolve));
  }

  aborted(key: string): void {
    this.#aborted.get(key)?.();
  }
}

/** The one application behind every server cell: an ordinary `(req, res)` listener. */
export function conformanceApp(log: AppLog, replica = "a"): RequestListener {
  return (req, res) => {
    const url = new URL(req.url ?? "/", "http://app.test");
    const key = url.searchParams.get("key") ?? "";
    log.hit(key);
    // Node's HTTP/2 server says it of the request only.
    req.on("aborted", () => log.aborted(key));
    res.on("close", () => {
      if (!res.writableFinished) log.aborted(key);
    });
    const size = Number(url.searchParams.get("n") ?? 0);
    switch (url.pathname) {
      case "/echo":
        return echo(req, res);
      case "/mirror":
        res.setHeader("content-type", "application/octet-stream");
        req.pipe(res);
        return;
      case "/bytes":
        res.setHeader("content-length", size);
        return send(res, size);
      case "/chunked":
        return send(res, size);
      case "/seen":
        return json(res, { headers: pairs(req.rawHeaders), version: req.httpVersion });
      case "/answered":
        res.setHeader("Set-Cookie", ["a=1; Path=/", "b=2"]);
        res.setHeader("X-Mixed-Case", "Kept As It Is");
        res.setHeader("X-List", ["one", "two"]);
        // Node's own HTTP/2 server refuses to set these.
        if (req.httpVersionMajor === 1) {
          res.setHeader("Keep-Alive", "timeout=99");
          res.setHeader("Connection", "X-Hop");
          res.setHeader("X-Hop", "must not travel");
        }
        return void res.end("answered");
      case "/trailers":
        res.setHeader("Trailer", "X-Check");
        res.write("body with a trailer");
        res.addTrailers({ "X-Check": "4711" });
        return void res.end();
      case "/hints":
        res.writeEarlyHints({ link: "</style.css>; rel=preload" });
        return void res.end("hinted");
      case "/status":
        res.statusCode = Number(url.searchParams.get("code"));
        return void res.end(res.statusCode === 204 || res.statusCode === 304 ? undefined : `status ${res.statusCode}`);
      case "/hang":
        req.resume();
        return;
      case "/hang-once":
        if (log.hits.get(key) === 1) return void req.resume();
        return void res.end(`attempt ${log.hits.get(key)}`);
      case "/held":
        return log.hold(key, () => res.end(`held by ${replica}`));
      case "/replica":
        return void res.end(replica);
      case "/broken":
        res.setHeader("content-length", 1000);
        res.write("only this");
        // The head and the first bytes are out before the rest is given up.
        res.write("", () => setImmediate(() => res.destroy()));
        return;
      case "/early":
        res.statusCode = 413;
        return void res.end("too much, and I have not read it");
      case "/flaky":
        if (log.hits.get(key) === 1) res.statusCode = 503;
        return void res.end(`attempt ${log.hits.get(key)}`);
      default:
        res.statusCode = 404;
        return void res.end("no such path");
    }
  };
}

function echo(req: IncomingMessage, res: ServerResponse): void {
  const hash = createHash("sha256");
  let length = 0;
  req.on("data", (chunk: Buffer) => {
    length += chunk.length;
    hash.update(chunk);
  });
  req.on("end", () =>
    json(res, { method: req.method, url: req.url, length, sha256: hash.digest("hex"), trailers: req.trailers }),
  );
}

function json(res: ServerResponse, value: unknown): void {
  const text = JSON.stringify(value);
  res.setHeader("content-type", "application/json");
  res.setHeader("content-length", Buffer.byteLength(text));
  res.end(res.req.method === "HEAD" ? undefined : text);
}

const chunk = Buffer.alloc(16_384, "selvage ");

function send(res: ServerResponse, size: number): void {
  let left = size;
  const more = (): void => {
    while (left > 0) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      if (!res.write(part)) {
        res.once("drain", more);
        return;
      }
    }
    res.end();
  };
  more();
}

function pairs(raw: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) found.push([raw[i]!, raw[i + 1]!]);
  return found;
}
