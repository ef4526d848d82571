import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Shim, startShim } from "@selvage/proxy-shim";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesOf, digest } from "./bytes.js";
import { type Credentials, exportSvid, strangerSvid } from "./credentials.js";
import { echoApp } from "./echo-app.js";
import { callerId, listen, Meshes, servicesAt } from "./meshes.js";
import { describeWith, execute } from "./programs.js";

const meshes = new Meshes();
let port = 0;
let strictPort = 0;
let shim: Shim;
let mine: Credentials;
let stranger: Credentials;
let file = "";

beforeAll(async () => {
  const mesh = await meshes.server();
  port = await listen(mesh.createServer(echoApp));
  const strict = await meshes.server({ workload: { name: "strict", namespace: "test" }, inbound: { port: 0 } });
  strictPort = await listen(strict.createServer(echoApp));
  mine = await exportSvid(meshes.stateDir, "curl");
  stranger = strangerSvid(meshes.stateDir);
  file = join(meshes.stateDir, "upload.bin");
  writeFileSync(file, bytesOf(3_000_000));
  shim = await startShim({
    inbound: false,
    options: {
      workload: { name: "caller", namespace: "test" },
      stateDir: meshes.stateDir,
      admin: false,
      outbound: { port: 0, services: servicesAt({ "echo.test": port }) },
    },
  });
  meshes.onStop(() => shim.close());
});
afterAll(() => meshes.stop());

async function curl(...parameters: string[]) {
  // Not the user's configuration, no progress, and errors all the same.
  const result = await execute("curl", ["-q", "-sS", "--max-time", "20", "--noproxy", "*", ...parameters]);
  const seen = () => {
    expect(result).toMatchObject({ status: 0 });
    return JSON.parse(result.stdout) as Record<string, unknown>;
  };
  return { ...result, seen };
}

const plain = (path = "/") => `http://127.0.0.1:${port}${path}`;
const tls = () => [`https://127.0.0.1:${port}/`, "--insecure"];
const as = ({ cert, key }: Credentials) => ["--cert", cert, "--key", key];

describeWith("curl", ["--version"], "curl", () => {
  test("HTTP/1.1 in plain", async () => {
    const { seen } = await curl("--http1.1", plain("/a?b=c"));
    expect(seen()).toMatchObject({ method: "GET", url: "/a?b=c", peer: null, encrypted: false, httpVersion: "1.1" });
  });

  test("HTTP/1.0 in plain", async () => {
    const { stdout, status } = await curl("--http1.0", "--include", plain());
    expect(status).toBe(0);
    expect(stdout).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/);
    expect(stdout).not.toMatch(/^transfer-encoding/im);
  });

  test("HTTP/2 by prior knowledge", async () => {
    const { seen } = await curl("--http2-prior-knowledge", plain("/h2"));
    expect(seen()).toMatchObject({ method: "GET", url: "/h2", peer: null });
    const { stdout } = await curl("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version}", plain());
    expect(stdout).toBe("2");
  });

  test("an offer to upgrade to HTTP/2 is not taken up, and the request answered", async () => {
    const { stdout } = await curl("--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", plain());
    expect(stdout).toBe("1.1 200");
  });

  test.each(["--http1.1", "--http2-prior-knowledge"])("uploads of a file, %s", async (version) => {
    const expected = await digest(bytesOf(3_000_000));
    expect((await curl(version, "-T", file, plain("/put"))).seen()).toMatchObject({ method: "PUT", ...expected });
    const chunked = await curl(version, "-H", "Transfer-Encoding: chunked", "--data-binary", `@${file}`, plain());
    expect(chunked.seen()).toMatchObject({ method: "POST", ...expected });
    const expecting = await curl(version, "-H", "Expect: 100-continue", "--data-binary", `@${file}`, plain());
    expect(expecting.seen()).toMatchObject({ method: "POST", ...expected });
  });

  test.each(["--http1.1", "--http2-prior-knowledge"])(
    "HEAD, repeated headers, and one connection for three, %s",
    async (version) => {
      const { stdout } = await curl(version, "--head", plain());
      expect(stdout).toMatch(/^HTTP\/[\d.]+ 200/);
      expect(stdout.match(/^x-two: \w+/gim)).toHaveLength(2);
      const one = ["-o", "/dev/null", plain()];
      const many = await curl(version, "-w", "%{num_connects}", ...one, ...one, ...one);
      expect(many.stdout).toBe("100");
    },
  );

  test.each([
    ["--http1.1", "1.1"],
    ["--http2", "2"],
  ])("TLS with an SVID, %s", async (version, spoken) => {
    const { seen } = await curl(version, ...as(mine), ...tls());
    expect(seen()).toMatchObject({ encrypted: true, peer: mine.id });
    const { stdout } = await curl(version, ...as(mine), "-o", "/dev/null", "-w", "%{http_version}", ...tls());
    expect(stdout).toBe(spoken);
  });

  test("an SVID of an unknown authority is refused", async () => {
    // How curl fails depends on when it notices that the connection is gone.
    const { status, stdout } = await curl("--include", ...as(stranger), ...tls());
    expect(stdout).toBe("");
    expect(status).toBeOneOf([18, 35, 52, 55, 56, 92]);
  });

  test("TLS without a certificate is refused", async () => {
    const { status, stdout } = await curl("--include", ...tls());
    expect(stdout).toBe("");
    expect(status).toBeOneOf([18, 35, 52, 55, 56, 92]);
  });

  test("TLS 1.2 is refused", async () => {
    const { status, stdout } = await curl("--tls-max", "1.2", ...as(mine), ...tls());
    expect({ status, stdout }).toEqual(expect.objectContaining({ status: 35, stdout: "" }));
  });

  test("without an identity, a workload of the default policy answers 403 with the reason", async () => {
    const { stdout } = await curl("--include", `http://127.0.0.1:${strictPort}/`);
    expect(stdout).toMatch(/^HTTP\/1\.1 403 /);
    expect(stdout).toMatch(/^l5d-proxy-error: .*all-authenticated/im);
    const { seen } = await curl(...as(mine), `https://127.0.0.1:${strictPort}/`, "--insecure");
    expect(seen()).toMatchObject({ peer: mine.id });
  });

  test("through the shim as its proxy", async () => {
    const { seen } = await curl("--noproxy", "", "--proxy", shim.outboundUrl, "-T", file, "http://echo.test/put?x");
    const expected = await digest(bytesOf(3_000_000));
    expect(seen()).toMatchObject({ url: "/put?x", peer: callerId, encrypted: true, ...expected });
    expect((seen()["headers"] as Record<string, string>)["host"]).toBe("echo.test");
  });

  test("a tunnel of the shim leads into the mesh, and nowhere else", async () => {
    const tunnel = ["--noproxy", "", "--proxytunnel", "--proxy", shim.outboundUrl];
    const { seen } = await curl(...tunnel, "http://echo.test:80/x");
    expect(seen()).toMatchObject({ url: "/x", peer: callerId, encrypted: true });
    const { status, stderr } = await curl(...tunnel, "http://elsewhere.example:80/x");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/CONNECT tunnel failed, response 403/);
  });

  test("through the shim as its proxy, to nobody", async () => {
    const { stdout } = await curl("--noproxy", "", "--proxy", shim.outboundUrl, "--include", "http://nobody.test/");
    expect(stdout).toMatch(/^HTTP\/1\.1 \d{3} /);
    expect(stdout).toMatch(/^l5d-proxy-error: .*nobody\.test/im);
  });
});
