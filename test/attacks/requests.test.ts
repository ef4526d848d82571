import type { RequestListener } from "node:http";
import { request as nodeRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as undiciRequest } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frameType } from "../../packages/http2/src/h2/frame.js";
import { data, endHead, headers, RawPeer } from "../../packages/http2/src/h2/test-peer.js";
import { authority, forms, until, Victim, ways } from "./victim.js";

// What a well-formed request can be up to: claim an identity, get around the policy by its path, fill the metrics, or trip up JavaScript.

interface Seen {
  readonly url: string;
  readonly raw: readonly string[];
  readonly headers: Record<string, unknown>;
  readonly distinct: Record<string, unknown>;
  trailers: readonly string[];
}

let seen: Seen[] = [];
const app: RequestListener = (req, res) => {
  const one: Seen = {
    url: req.url ?? "",
    raw: req.rawHeaders,
    headers: req.headers,
    distinct: req.headersDistinct,
    trailers: [],
  };
  seen.push(one);
  req.resume();
  req.on("end", () => {
    one.trailers = req.rawTrailers;
    res.setHeader("__proto__", "x");
    res.setHeader("constructor", "y");
    res.setHeader("toString", "z");
    res.end("ok");
  });
};

const identity = "spiffe://dev.selvage/ns/test/sa/admin";
const claims = [
  "l5d-client-id",
  "L5D-Client-Id",
  "l5d_client_id",
  "l5d-remote-ip",
  "l5d-server-id",
  "l5d-proxy-error",
  "x-forwarded-client-cert",
  "X_Forwarded_Client-Cert",
];

for (const form of forms) {
  describe(`behind a mesh port (${form})`, () => {
    let victim: Victim;

    beforeAll(async () => {
      victim = await Victim.start({
        form,
        app,
        inbound: {
          policy: {
            default: "all-unauthenticated",
            rules: [{ name: "closed", action: "deny", from: ["*", "unauthenticated"], paths: ["/admin/*"] }],
          },
        },
      });
    });
    afterAll(() => victim?.stop());

    for (const way of ways) {
      it(`claims of an identity never reach the app, over HTTP/2, in head and trailers (${way})`, async () => {
        seen = [];
        const socket = await victim.dial(way);
        const peer = new RawPeer(socket).greet();
        const forged = claims.flatMap((name) => [name.toLowerCase(), identity]);
        const head = [":method", "POST", ":scheme", "http", ":authority", authority, ":path", "/x", "te", "trailers"];
        peer.write(
          headers(1, [...head, ...forged, ...forged], endHead),
          data(1, "x"),
          headers(1, [...forged, "x-fine", "1"]),
        );
        await until(() => seen[0]?.trailers.length === 2);
        socket.destroy();
        expect(names(seen[0]!.raw).filter((name) => claims.some((claim) => claim.toLowerCase() === name))).toEqual(
          way === "mutual TLS" ? ["l5d-client-id"] : [],
        );
        expect(seen[0]!.raw.includes(identity)).toBe(false);
        expect(seen[0]!.trailers.map((text) => text.toLowerCase())).toEqual(["x-fine", "1"]);
      });

      it(`claims of an identity never reach the app, over HTTP/1 (${way})`, async () => {
        seen = [];
        const socket = await victim.dial(way);
        const forged = claims.map((name) => `${name}: ${identity}\r\n`).join("");
        socket.write(
          `POST /x HTTP/1.1\r\nHost: ${authority}\r\nConnection: l5d-client-id, close\r\nTransfer-Encoding: chunked\r\n${forged}\r\n` +
            "1\r\nx\r\n0\r\nL5d_Client_Id: x\r\nX-Fine: 1\r\n\r\n",
        );
        await until(() => seen.length === 1 && seen[0]!.trailers.length === 2);
        socket.destroy();
        expect(seen[0]!.raw.includes(identity)).toBe(false);
        expect(names(seen[0]!.raw).filter((name) => /^l5d|client.cert/.test(name))).toEqual(
          way === "mutual TLS" ? ["l5d-client-id"] : [],
        );
      });

      it.each([
        "/admin",
        "/admin/x",
        "//admin/x",
        "/./admin/x",
        "/x/../admin/x",
        "/x/..;/admin/x",
        "/%61dmin/x",
        "/%61%64%6D%69%6E/x",
        "/admin%2fx",
        "/admin%2Fx",
        "/x/%2e%2e/admin/x",
        "/admin/./x",
        "/admin//x",
        "/admin;a=b/x",
        "/\\admin/x",
        "/admin?x",
        "/admin/../admin/x",
        `http://${authority}/admin/x`,
        `http://${authority}//admin/x`,
        `HTTP://${authority}/%61dmin/x`,
      ])(`a rule is not got around by %s (${way})`, async (target) => {
        seen = [];
        const socket = await victim.dial(way);
        const text: string[] = [];
        socket.on("data", (chunk) => text.push(String(chunk)));
        socket.write(`GET ${target} HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
        await new Promise((resolve) => socket.on("close", resolve));
        expect(text.join("")).toMatch(/^HTTP\/1.1 (?:400|403) /);
        expect(seen).toEqual([]);
      });

      it(`names of Object.prototype are headers like others (${way})`, async () => {
        seen = [];
        const socket = await victim.dial(way);
        const peer = new RawPeer(socket).greet();
        const odd = ["__proto__", "a", "constructor", "b", "tostring", "c", "hasownproperty", "d"];
        peer.write(headers(1, [":method", "GET", ":scheme", "http", ":authority", authority, ":path", "/x", ...odd]));
        await peer.until(() =>
          peer.frames.some((one) => one.type === frameType.data && (one.flags & flag.endStream) > 0),
        );
        const head = peer.head(peer.of(frameType.headers, 1)[0]!);
        socket.destroy();
        expect(["__proto__", "constructor", "tostring"].map((name) => head[name])).toEqual(["x", "y", "z"]);
        expect(names(seen[0]!.raw)).toEqual(expect.arrayContaining(odd.filter((_, at) => at % 2 === 0)));
        expect(Object.keys(seen[0]!.distinct)).toContain("constructor");
        expect(seen[0]!.headers["constructor"]).toBe("b");
        expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
      });
    }

    it("names of Object.prototype go through every client adapter", async () => {
      const odd: [string, string][] = [
        ["__proto__", "a"],
        ["constructor", "b"],
        ["toString", "c"],
      ];
      const url = `http://${authority}/adapters`;
      seen = [];
      const fetched = await victim.caller.fetch(url, { headers: odd });
      expect([await fetched.text(), fetched.headers.get("constructor")]).toEqual(["ok", "y"]);
      const plain = await undiciRequest(url, { dispatcher: victim.caller.dispatcher, headers: odd.flat() });
      await plain.body.text();
      await new Promise<void>((resolve, reject) => {
        const req = nodeRequest(url, { agent: victim.caller.agent });
        for (const [name, value] of odd) req.setHeader(name, value);
        req.on("error", reject);
        req.on("response", (res) => {
          expect(res.headers["constructor"]).toBe("y");
          res.resume().on("end", resolve);
        });
        req.end();
      });
      expect(seen.length).toBe(3);
      // The fetch of undici loses it before we see it.
      expect(seen.map((one) => names(one.raw).includes("__proto__")).slice(1)).toEqual([true, true]);
      for (const one of seen) expect(names(one.raw)).toEqual(expect.arrayContaining(["constructor", "tostring"]));
    });

    it("thousands of hosts, paths and methods make no more series than there were", async () => {
      const session = connectHttp2(`http://127.0.0.1:${victim.port}`);
      session.on("error", () => {});
      const one = (path: string, host: string, method: string) =>
        new Promise<void>((resolve) => {
          const stream = session.request({ ":path": path, ":authority": host, ":method": method });
          stream.on("error", () => {});
          stream.on("close", resolve);
          stream.resume();
          stream.end();
        });
      await one("/x", authority, "GET");
      await one("/x", authority, "BREW");
      const count = () => victim.metrics().split("\n").length;
      const before = count();
      for (let i = 0; i < 40; i += 1) {
        await Promise.all(
          Array.from({ length: 50 }, (_, at) => one(`/p${i}/${at}`, `h${i}-${at}.test`, `M${i}X${at}`)),
        );
      }
      session.destroy();
      expect(count() - before).toBeLessThan(60);
      expect(victim.metrics()).not.toMatch(/h39-49|p39|M39/);
    });
  });
}

function names(raw: readonly string[]): string[] {
  return raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
}
