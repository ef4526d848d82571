import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Credentials, exportSvid, strangerSvid } from "./credentials.js";
import { echoApp } from "./echo-app.js";
import { listen, Meshes } from "./meshes.js";
import { describeWith, execute } from "./programs.js";

const meshes = new Meshes();
let port = 0;
let mine: Credentials;

beforeAll(async () => {
  port = await listen((await meshes.server()).createServer(echoApp));
  mine = await exportSvid(meshes.stateDir, "openssl");
});
afterAll(() => meshes.stop());

/** Sends one request by hand, and gives what came back. */
async function client(...parameters: string[]) {
  const address = ["-connect", `127.0.0.1:${port}`, "-CAfile", mine.roots];
  const input = "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n";
  return execute("openssl", ["s_client", ...address, "-ign_eof", ...parameters], { input });
}

const as = ({ cert, key }: Credentials) => ["-cert", cert, "-cert_chain", cert, "-key", key];

describeWith("openssl", ["version"], "openssl s_client", () => {
  test("TLS 1.3 with an SVID: the chain is good, and the application knows the caller", async () => {
    const { stdout } = await client("-tls1_3", "-verify_return_error", ...as(mine));
    expect(stdout).toContain("HTTP/1.1 200 OK");
    expect(stdout).toContain(`"peer":"${mine.id}"`);
    expect(stdout).toContain("Verify return code: 0 (ok)");
    expect(stdout).toMatch(/New, TLSv1\.3, Cipher is TLS_/);
  });

  test("a session is not resumed: the certificate is demanded again", async () => {
    const session = join(meshes.stateDir, "session.pem");
    const first = await client("-tls1_3", "-sess_out", session, ...as(mine));
    expect(first.stdout).toContain("HTTP/1.1 200 OK");
    expect(readFileSync(session, "utf8")).toContain("SSL SESSION PARAMETERS");
    const again = await client("-tls1_3", "-sess_in", session, ...as(mine));
    expect(again.stdout).toMatch(/^New, TLSv1\.3/m);
    expect(again.stdout).toContain("HTTP/1.1 200 OK");
    const without = await client("-tls1_3", "-sess_in", session);
    expect(without.stdout).not.toContain("HTTP/1.1");
  });

  test("ALPN: h2 and http/1.1 are answered, others are no reason to fail", async () => {
    expect((await client("-alpn", "http/1.1", ...as(mine))).stdout).toContain("ALPN protocol: http/1.1");
    expect((await client("-alpn", "h2,http/1.1", ...as(mine))).stdout).toContain("ALPN protocol: h2");
    expect((await client(...as(mine))).stdout).toContain("No ALPN negotiated");
  });

  test.each(["-tls1", "-tls1_1", "-tls1_2"])("%s is refused", async (version) => {
    const { status, stdout, stderr } = await client(version, "-cipher", "ALL:@SECLEVEL=0", ...as(mine));
    expect(status).not.toBe(0);
    expect(stdout).not.toContain("HTTP/1.1 200");
    expect(stderr).toMatch(/alert protocol version|no protocols available/);
  });

  test("TLS 1.3 without a certificate is refused", async () => {
    const { stdout, stderr } = await client("-tls1_3");
    expect(stdout).not.toContain("HTTP/1.1");
    expect(stderr).toMatch(/alert certificate required/);
  });

  test("TLS 1.3 with a certificate of somebody else's authority is refused", async () => {
    const { status, stdout } = await client("-tls1_3", ...as(strangerSvid(meshes.stateDir)));
    expect(stdout).not.toContain("HTTP/1.1");
    // No alert says why: Node ends the connection after the handshake.
    expect(status).not.toBe(0);
  });
});
