// HAProxy as a sidecar: one thread, otherwise as it comes.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PinnedProcess } from "./pinned-process.mjs";

const global = `global
  nbthread 1
  maxconn 5000
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
`;

const mutual = ({ both }, ca) => `ssl crt ${both} ca-file ${ca} verify required ssl-min-ver TLSv1.3`;

/** HTTP/1 in, HTTP/2 over mutual TLS out. */
export const outboundSidecar = ({ port, peer, identity, ca }) => `${global}
frontend app
  bind 127.0.0.1:${port}
  default_backend peer
backend peer
  server peer 127.0.0.1:${peer} ${mutual(identity, ca)} alpn h2
`;

/** HTTP/2 over mutual TLS in, HTTP/1 out. */
export const inboundSidecar = ({ port, app, identity, ca }) => `${global}
frontend mesh
  bind 127.0.0.1:${port} ${mutual(identity, ca)} alpn h2
  default_backend app
backend app
  server app 127.0.0.1:${app}
`;

/** Answers by itself, in HTTP/2 over mutual TLS, with or without ALPN. */
export const answeringServer = ({ port, identity, ca, body }) => `${global}
frontend mesh
  bind 127.0.0.1:${port} ${mutual(identity, ca)} alpn h2 proto h2
  http-request return status 200 content-type text/plain string ${body}
`;

export function startHaproxy(directory, name, text, { port, cpu = 0 }) {
  const file = join(directory, `${name}.cfg`);
  writeFileSync(file, text);
  return PinnedProcess.start("haproxy", ["-db", "-f", file], { cpu, port });
}
