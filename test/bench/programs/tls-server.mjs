// The least that can hold mutual TLS connections: it answers the first request of an HTTP/2 client with 200, and nothing else.
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:tls";
import { options, ready } from "./program.mjs";

const settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const answer = Buffer.from([...settings, 0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]);

const server = createServer(
  {
    cert: readFileSync(options.tls.cert),
    key: readFileSync(options.tls.key),
    ca: readFileSync(options.tls.ca),
    requestCert: true,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
    // As the mesh does, which never resumes a session.
    secureOptions: constants.SSL_OP_NO_TICKET,
  },
  (socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      socket.write(answer);
      socket.resume();
    });
  },
);
server.listen(0, "127.0.0.1", () => ready({ port: server.address().port }));
