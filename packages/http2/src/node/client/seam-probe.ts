import { channel } from "node:diagnostics_channel";
import { Exchange, type Service, type Sink } from "../../exchange.js";
import { ActiveCalls } from "./active-calls.js";
import { findSymbols, makeSampleRequest, type RequestInternals, type RequestSymbols } from "./client-internals.js";
import { HeaderNames } from "./header-names.js";
import { RequestSeam } from "./request-seam.js";

let known: RequestSymbols | null | undefined;

/** The symbols that the seam needs, or `null` where it doesn't work as on the Nodes that it was made for. Found out once. */
export function seamSymbols(): RequestSymbols | null {
  if (known === undefined) known = probe();
  return known;
}

/** Sends one request through the seam, all in one tick, to a service that answers at once. */
function probe(): RequestSymbols | null {
  let symbols: RequestSymbols | null = null;
  let seam: RequestSeam | null = null;
  const service = new ProbeService();
  // Who watches requests must not see one that the application didn't make.
  const watched = ["created", "start"].some((event) => channel(`http.client.request.${event}`).hasSubscribers);
  try {
    const req: RequestInternals = makeSampleRequest((made) => {
      symbols = findSymbols(made);
      if (symbols === null || watched) return;
      const settings = {
        service,
        newExchange: () => new Exchange(),
        names: new HeaderNames(),
        active: new ActiveCalls(),
        symbols,
      };
      seam = new RequestSeam(settings, { scheme: "http", host: "sample.invalid", port: 80, timeoutMs: 0 }, made);
    });
    if (watched || seam === null) return symbols;
    let answer = "";
    req.on("error", () => {});
    req.on("response", (res) => {
      answer = `${res.statusCode} ${res.headers["x-answer"]}`;
    });
    req.setHeader("X-Question", "1");
    req.write("a");
    req.end("b");
    (seam as RequestSeam).attach();
    const asked = service.x?.headers.join("|");
    const worked =
      asked === "host|sample.invalid|x-question|1" &&
      service.received === "ab." &&
      answer === "200 yes" &&
      req.finished;
    return worked ? symbols : null;
  } catch {
    return null;
  }
}

class ProbeService implements Service {
  x: Exchange | null = null;
  received = "";

  call(x: Exchange, sink: Sink): void {
    this.x = x;
    x.body?.pipe({
      onData: (chunk) => {
        this.received += Buffer.from(chunk).toString();
      },
      onEnd: () => {
        this.received += ".";
      },
    });
    sink.onHead(200, ["x-answer", "yes"]);
    sink.onEnd(null);
  }
}
