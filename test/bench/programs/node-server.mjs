// An app on Node's own http or https module.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { options, ready } from "./program.mjs";

const body = "x".repeat(options.bytes);
const listener = (_req, res) => {
  res.writeHead(200, { "content-type": "text/plain", "content-length": body.length });
  res.end(body);
};
const tls = options.tls && {
  cert: readFileSync(options.tls.cert),
  key: readFileSync(options.tls.key),
  ca: readFileSync(options.tls.ca),
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: "TLSv1.3",
};
const server = tls ? createTlsServer(tls, listener) : createServer(listener);
server.listen(0, "127.0.0.1", () => ready({ port: server.address().port }));
