// The least that can answer HTTP/1.1: a socket that writes the same bytes for every head it sees.
import { createServer } from "node:net";
import { options, ready } from "./program.mjs";

const body = "x".repeat(options.bytes);
const answer = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

const server = createServer({ noDelay: true }, (socket) => {
  let rest = "";
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    rest += chunk.latin1Slice(0, chunk.length);
    let answers = 0;
    for (let end = rest.indexOf("\r\n\r\n"); end >= 0; end = rest.indexOf("\r\n\r\n")) {
      rest = rest.slice(end + 4);
      answers += 1;
    }
    if (answers === 1) socket.write(answer, "latin1");
    else if (answers > 1) socket.write(answer.repeat(answers), "latin1");
  });
});
server.listen(0, "127.0.0.1", () => ready({ port: server.address().port }));
