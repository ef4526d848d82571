// The engine's HTTP/1.1 server with nothing above it.
import { HttpServer } from "@selvage/http2";
import { options, ready } from "./program.mjs";

const body = Buffer.alloc(options.bytes, "x");
const headers = Object.freeze(["content-type", "text/plain", "content-length", String(body.length)]);

const server = new HttpServer({
  service: {
    call(x, sink) {
      x.body?.cancel();
      sink.onHead(200, headers);
      sink.onData(body);
      sink.onEnd(null);
    },
  },
});
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
ready({ port });
