import type { Exchange, Service, Sink } from "@selvage/http2";
import type { Readiness } from "./readiness.js";

/** What the admin port shows. Each is asked anew for each request. */
export interface AdminSources {
  readonly readiness: Pick<Readiness, "ready" | "blockers">;
  /** Prometheus text format. */
  readonly metrics: () => string;
  /** The configuration in force, secrets redacted. */
  readonly config: () => unknown;
  /** Targets, routes, endpoints and their states. */
  readonly state: () => unknown;
  /** What would happen to a call; throws a TypeError that says what is wrong with the question. Absent: nobody knows. */
  readonly explain?: (question: URLSearchParams) => unknown;
}

const text = "text/plain; charset=utf-8";
const json = "application/json; charset=utf-8";
/** The version is part of the content type that Prometheus asks for. */
const exposition = "text/plain; version=0.0.4; charset=utf-8";

/**
 * The admin port: `/live`, `/ready` (503 with the names of what blocks), `/metrics`, `/config`, `/state`,
 * `/explain?method=&url=`. GET and HEAD only.
 * It has no authentication of its own and shows nothing secret; it listens on loopback unless configured otherwise.
 */
export class AdminService implements Service {
  readonly #sources: AdminSources;

  constructor(sources: AdminSources) {
    this.#sources = sources;
  }

  call(x: Exchange, sink: Sink): void {
    x.body?.cancel();
    if (x.method !== "GET" && x.method !== "HEAD") {
      return answer(x, sink, 405, text, "method not allowed: the admin port answers GET and HEAD\n", [
        "allow",
        "GET, HEAD",
      ]);
    }
    const query = x.path.indexOf("?");
    switch (query < 0 ? x.path : x.path.slice(0, query)) {
      case "/live":
        return answer(x, sink, 200, text, "live\n");
      case "/ready": {
        const { ready, blockers } = this.#sources.readiness;
        return ready
          ? answer(x, sink, 200, text, "ready\n")
          : answer(x, sink, 503, text, `not ready\n${blockers.map((name) => `- ${name}\n`).join("")}`);
      }
      case "/metrics":
        return answer(x, sink, 200, exposition, this.#sources.metrics());
      case "/config":
        return answer(x, sink, 200, json, `${JSON.stringify(this.#sources.config(), null, 2)}\n`);
      case "/state":
        return answer(x, sink, 200, json, `${JSON.stringify(this.#sources.state(), null, 2)}\n`);
      case "/explain":
        return this.#explain(x, sink, new URLSearchParams(query < 0 ? "" : x.path.slice(query + 1)));
      default:
        return answer(x, sink, 404, text, "not found: try /live, /ready, /metrics, /config, /state or /explain\n");
    }
  }

  #explain(x: Exchange, sink: Sink, question: URLSearchParams): void {
    const { explain } = this.#sources;
    if (explain === undefined) return answer(x, sink, 404, text, "not found: this process makes no calls\n");
    let explanation: unknown;
    try {
      explanation = explain(question);
    } catch (error) {
      return answer(x, sink, error instanceof TypeError ? 400 : 500, text, `${(error as Error).message}\n`);
    }
    answer(x, sink, 200, json, `${JSON.stringify(explanation, null, 2)}\n`);
  }
}

function answer(
  x: Exchange,
  sink: Sink,
  status: number,
  type: string,
  body: string,
  more: readonly string[] = [],
): void {
  const bytes = Buffer.from(body);
  sink.onHead(status, [
    "content-type",
    type,
    "content-length",
    String(bytes.length),
    "cache-control",
    "no-store",
    ...more,
  ]);
  if (x.method !== "HEAD") sink.onData(bytes);
  sink.onEnd(null);
}
