import type { IncomingMessage, ServerResponse } from "node:http";
import type { AppState } from "./app-state.js";

/** What an application does on Node's own objects, whichever framework it is written in. */
export const rawPaths = ["/hang", "/broken", "/trailers", "/request-trailers", "/hints", "/socket", "/mirror"] as const;

export function rawRoute(state: AppState, req: IncomingMessage, res: ServerResponse): void {
  const url = new URL(req.url ?? "/", "http://app.test");
  const key = url.searchParams.get("key") ?? "";
  switch (url.pathname as (typeof rawPaths)[number]) {
    case "/hang":
      req.resume();
      return state.watch(key, res);
    case "/broken":
      res.setHeader("content-length", 1000);
      // The head and the first bytes are out before the rest is given up.
      res.write("only this", () => setImmediate(() => res.destroy()));
      return;
    case "/trailers":
      res.setHeader("Trailer", "X-Check");
      res.write("body with a trailer");
      res.addTrailers({ "X-Check": "4711" });
      return void res.end();
    case "/request-trailers":
      req.resume();
      req.on("end", () => res.end(JSON.stringify(req.trailers)));
      return;
    case "/hints":
      res.writeEarlyHints({ link: "</style.css>; rel=preload" });
      return void res.end("hinted");
    case "/socket": {
      const { remotePort, remoteAddress, encrypted } = req.socket as typeof req.socket & { encrypted?: boolean };
      const { httpVersion } = req;
      return void res.end(JSON.stringify({ remotePort, remoteAddress, encrypted: encrypted === true, httpVersion }));
    }
    case "/mirror":
      res.setHeader("content-type", "application/octet-stream");
      req.pipe(res);
  }
}
