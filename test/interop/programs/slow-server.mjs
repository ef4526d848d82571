// An application whose answers to /slow come when somebody asks for /release. Says which signals it gets.
import { createServer } from "node:http";

const waiting = [];
const server = createServer((req, res) => {
  if (req.url === "/slow") {
    waiting.push(res);
    process.stdout.write("slow\n");
  } else {
    if (req.url === "/release") for (const slow of waiting.splice(0)) slow.end("finished");
    res.end("ok");
    if (req.url === "/end") res.on("close", () => process.exit(4));
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => process.stdout.write("listening\n"));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  process.on(signal, () => {
    process.stdout.write(`got ${signal}\n`);
    process.exit(9);
  });
}
