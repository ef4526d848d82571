import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { HttpServer, type Service, type Sink } from "@selvage/http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Victim } from "./victim.js";

/** h2spec's path: from PATH, from GOPATH, or built there where Go is installed. Or why there is none. */
function findH2spec(): { readonly path: string } | { readonly missing: string } {
  if (spawnSync("h2spec", ["--version"]).status === 0) return { path: "h2spec" };
  const go = spawnSync("go", ["env", "GOPATH"], { encoding: "utf8" });
  if (go.status !== 0) return { missing: "h2spec is not in PATH, and there is no Go to build it with" };
  const path = join(go.stdout.trim(), "bin", "h2spec");
  if (existsSync(path)) return { path };
  const built = spawnSync("go", ["install", "github.com/summerwind/h2spec/cmd/h2spec@v2.6.0"], { encoding: "utf8" });
  return existsSync(path) ? { path } : { missing: `h2spec can't be built: ${built.stderr.trim().split("\n").at(-1)}` };
}

/** Answers once the request is complete, which some of the cases rely on. */
const hello: Service = {
  call(x, sink: Sink) {
    const answer = () => {
      sink.onHead(200, ["content-length", "5"]);
      sink.onData(Buffer.from("hello"));
      sink.onEnd(null);
    };
    if (x.body === null) answer();
    else x.body.pipe({ onData() {}, onEnd: answer });
  },
};

const found = findH2spec();
if ("missing" in found) process.stdout.write(`skipped: ${found.missing}\n`);

describe.skipIf("missing" in found)("h2spec", () => {
  let victim: Victim;
  let server: HttpServer;
  let bare = 0;

  beforeAll(async () => {
    victim = await Victim.start({
      app: (req, res) => {
        req.resume();
        req.on("end", () => res.end("hello"));
      },
    });
    server = new HttpServer({ service: hello });
    bare = (await server.listen({ port: 0, host: "127.0.0.1" })).port;
  });
  afterAll(async () => {
    server?.destroy();
    await victim?.stop();
  });

  const run = (args: readonly string[]): Promise<string> =>
    new Promise((resolve) => {
      const path = "path" in found ? found.path : "";
      execFile(path, ["-h", "127.0.0.1", "-o", "5", ...args], { maxBuffer: 16 << 20 }, (_, out) => resolve(out));
    });
  const summary = (out: string) =>
    /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(out)?.slice(1).map(Number);

  it.each([
    ["the server, by default", () => bare, []],
    ["the server, strictly", () => bare, ["--strict"]],
    ["the mesh port, by default", () => victim.port, []],
    ["the mesh port, strictly", () => victim.port, ["--strict"]],
  ])("all of it passes: %s", async (_, port, args) => {
    const out = await run(["-p", String(port()), ...args]);
    const [tests = 0, passed = 0, , failed = -1] = summary(out) ?? [];
    expect(failed, out).toBe(0);
    expect([tests >= 140, passed]).toEqual([true, tests]);
  });
});
