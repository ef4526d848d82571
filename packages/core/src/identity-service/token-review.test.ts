import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createCaSource,
  createIdentityService,
  createKubernetesAuthenticator,
  initAuthority,
  issuerPathsOf,
  SpiffeId,
  serveIdentity,
} from "@selvage/tls-identity";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterApiServer, tokenReviewer } from "./token-review.js";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

describe.runIf(hasOpenssl)("a token reviewer", () => {
  const directory = mkdtempSync(join(tmpdir(), "token-review-"));
  const path = (name: string) => join(directory, name);
  let server: Server;
  let answer: (req: IncomingMessage, res: ServerResponse, body: string) => void;

  beforeAll(async () => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path("key")];
    const subject = ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"];
    spawnSync("openssl", ["req", "-x509", ...key, "-out", path("ca.crt"), "-days", "1", ...subject]);
    writeFileSync(path("token"), "the-service's-own\n");
    server = createServer({ cert: readFileSync(path("ca.crt")), key: readFileSync(path("key")) }, (req, res) => {
      let body = "";
      req.on("data", (chunk) => {
        body += chunk;
      });
      req.on("end", () => answer(req, res, body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  });

  const review = (signal = new AbortController().signal) =>
    tokenReviewer({ host: "127.0.0.1", port: (server.address() as AddressInfo).port, directory })({ spec: 1 }, signal);

  test("posts the review with its own token and gives back what the API says", async () => {
    let seen: unknown;
    answer = (req, res, body) => {
      seen = { method: req.method, url: req.url, authorization: req.headers.authorization, body };
      res.writeHead(201).end('{"status":{"authenticated":true}}');
    };
    expect(await review()).toEqual({ status: { authenticated: true } });
    expect(seen).toEqual({
      method: "POST",
      url: "/apis/authentication.k8s.io/v1/tokenreviews",
      authorization: "Bearer the-service's-own",
      body: '{"spec":1}',
    });
  });

  test("rejects what is no answer", async () => {
    answer = (_req, res) => void res.writeHead(403).end("no");
    await expect(review()).rejects.toThrow(/403 .*system:auth-delegator/);
    answer = (_req, res) => void res.writeHead(200).end("not JSON");
    await expect(review()).rejects.toThrow(SyntaxError);
    answer = (_req, res) => void res.writeHead(200).end(Buffer.alloc(2 << 20, "x"));
    await expect(review()).rejects.toThrow(/more than 1 MiB/);
    answer = (_req, res) => void res.destroy();
    await expect(review()).rejects.toMatchObject({ code: "ECONNRESET" });
    answer = (_req, res) => void res.writeHead(200, { "content-length": 10 }).write("{", () => res.destroy());
    await expect(review()).rejects.toBeInstanceOf(Error);
  });

  test("lets an identity service tell service accounts from whatever else the API knows", async () => {
    const trustDomain = "prod.example";
    const authority = path("authority");
    await initAuthority({ directory: authority, trustDomain });
    const match = { namespace: "*", account: "*" };
    const rule = { kind: "kubernetes", match, id: `spiffe://${trustDomain}/ns/{namespace}/sa/{account}` };
    writeFileSync(path("rules.json"), JSON.stringify({ rules: [rule] }));
    const details: string[] = [];
    const { port } = server.address() as AddressInfo;
    const service = createIdentityService({
      trustDomain,
      issuer: issuerPathsOf(authority),
      rules: path("rules.json"),
      audit: (line) => details.push((JSON.parse(line) as { detail?: string }).detail ?? "issued"),
      authenticators: [
        createKubernetesAuthenticator({ review: tokenReviewer({ host: "127.0.0.1", port, directory }) }),
      ],
    });
    await service.loaded();
    // As the API server answers: a token is somebody's, for the audiences that it has in common with the question.
    const known: Record<string, { username: string; audience: string }> = {
      storefront: { username: "system:serviceaccount:shop:storefront", audience: "identity.l5d.io" },
      elsewhere: { username: "system:serviceaccount:shop:storefront", audience: "vault" },
      person: { username: "alice", audience: "identity.l5d.io" },
    };
    answer = (_req, res, body) => {
      const { token, audiences } = JSON.parse(body).spec as { token: string; audiences: string[] };
      const found = known[token];
      const common = audiences.filter((audience) => audience === found?.audience);
      const status = found && {
        authenticated: common.length > 0,
        audiences: common,
        user: { username: found.username },
      };
      res.writeHead(201).end(JSON.stringify({ status: status ?? { authenticated: false } }));
    };
    const id = SpiffeId.parse(`spiffe://${trustDomain}/ns/shop/sa/storefront`);
    const serverId = SpiffeId.parse(`spiffe://${trustDomain}/ns/selvage/sa/identity`);
    const running = await serveIdentity({ service, id: serverId, host: "127.0.0.1", port: 0 });
    const address = `https://127.0.0.1:${running.port}`;
    /** The id that a workload with this token gets, or why not. */
    const ask = async (token: string, wanted = id) => {
      writeFileSync(path("workload-token"), token);
      const bundle = issuerPathsOf(authority).bundle;
      const source = createCaSource({ address, id: wanted, serverId, token: path("workload-token"), bundle });
      const failure = new Promise<string>((resolve) => source.onFailure((error) => resolve(error.message)));
      const outcome = await Promise.race([source.ready().then((snapshot) => snapshot.id.toString()), failure]);
      source.close();
      return outcome;
    };
    try {
      expect(await ask("storefront")).toBe(id.toString());
      expect(await ask("storefront", SpiffeId.parse(`spiffe://${trustDomain}/ns/shop/sa/other`))).toMatch(
        /may not have/,
      );
      expect(await ask("elsewhere")).toMatch(/does not know it/);
      expect(await ask("person")).toMatch(/of no service account/);
      expect(await ask("nobody")).toMatch(/does not know it/);
      answer = (_req, res) => void res.writeHead(403).end("no");
      expect(await ask("storefront")).toMatch(/internal error/);
      expect(details.at(-1)).toMatch(/could not review the token: .*system:auth-delegator/);
    } finally {
      await running.close();
      service.close();
    }
  });

  test("stops when nobody waits any more", async () => {
    const abort = new AbortController();
    answer = () => abort.abort();
    await expect(review(abort.signal)).rejects.toMatchObject({ name: "AbortError" });
  });
});

test("outside a cluster there is no API server to ask", () => {
  expect(() => clusterApiServer({})).toThrow(/KUBERNETES_SERVICE_HOST is not set/);
  expect(clusterApiServer({ KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "6443" })).toMatchObject({
    host: "10.0.0.1",
    port: 6443,
  });
});
