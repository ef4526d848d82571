import { join } from "node:path";
import { type Shim, startShim } from "@selvage/proxy-shim";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digest } from "./bytes.js";
import { type Credentials, exportSvid } from "./credentials.js";
import { echoApp } from "./echo-app.js";
import { callerId, listen, Meshes, servicesAt } from "./meshes.js";
import { describeWith, execute } from "./programs.js";

const meshes = new Meshes();
const programs = join(import.meta.dirname, "programs");
let port = 0;
let shim: Shim;
let mine: Credentials;

beforeAll(async () => {
  port = await listen((await meshes.server()).createServer(echoApp));
  mine = await exportSvid(meshes.stateDir, "foreign");
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

describeWith("python3", ["--version"], "urllib and http.client", () => {
  test("through the proxy of the environment, through one that is known, and over TLS", async () => {
    const { outboundUrl } = shim;
    const env = { ...process.env, HTTP_PROXY: outboundUrl, http_proxy: outboundUrl, NO_PROXY: "", no_proxy: "" };
    const parameters = [outboundUrl, `${port}`, mine.cert, mine.key, mine.roots];
    const { status, stdout, stderr } = await execute("python3", [join(programs, "client.py"), ...parameters], { env });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { sha256, get, post, unknown, kept, tls } = JSON.parse(stdout);
    const meshed = { encrypted: true, peer: callerId };
    expect(get).toMatchObject({ url: "/urllib?a=b", headers: { host: "echo.test" }, ...meshed });
    expect(post).toMatchObject({ method: "POST", url: "/post", sha256, length: 1_048_576, ...meshed });
    expect(unknown).toMatchObject({
      status: expect.toSatisfy((code: number) => code >= 500),
      reason: expect.stringContaining("nobody.test"),
    });
    expect(kept).toMatchObject([{ method: "GET" }, { method: "POST", sha256 }, { method: "GET" }]);
    expect(tls).toMatchObject({ url: "/tls", encrypted: true, peer: mine.id });
  });
});

describeWith("java", ["--version"], "java.net.http", () => {
  test("in plain with an offer of HTTP/2, through the shim, and HTTP/2 over TLS", async () => {
    const keys = join(meshes.stateDir, "java.p12");
    const exported = ["pkcs12", "-export", "-in", mine.both, "-out", keys, "-passout", "pass:changeit"];
    expect(await execute("openssl", exported)).toMatchObject({ status: 0 });
    const { status, stdout, stderr } = await execute("java", [
      "-Xshare:auto",
      "-XX:TieredStopAtLevel=1",
      // An SVID has no host name.
      "-Djdk.internal.httpclient.disableHostnameVerification=true",
      join(programs, "Client.java"),
      new URL(shim.outboundUrl).port,
      `${port}`,
      keys,
      mine.roots,
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const answers = stdout
      .trim()
      .split("\n")
      .map((line) => {
        const [name, version, ...json] = line.split(" ");
        const seen = JSON.parse(json.join(" ")) as Record<string, unknown>;
        return { ...seen, name, version, url: seen["url"] };
      });
    const body = await digest(Buffer.alloc(1_048_576, "j"));
    expect(answers.slice(0, 3)).toMatchObject([
      { name: "plain", version: "HTTP_1_1", url: "/plain", peer: null },
      { name: "post", version: "HTTP_1_1", method: "POST", ...body },
      { name: "proxied", version: "HTTP_1_1", url: "/proxied", peer: callerId, ...body },
    ]);
    const tls = answers.slice(3);
    expect(tls.map(({ url }) => url)).toEqual(Array.from({ length: 20 }, (_, i) => `/tls${i}`));
    for (const answer of tls) expect(answer).toMatchObject({ version: "HTTP_2", peer: mine.id });
  });
});
