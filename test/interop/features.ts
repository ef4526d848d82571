import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import type { AppState } from "./app-state.js";
import { bytesOf, chunksOf, digest, digestOf, longText } from "./bytes.js";
import type { Answer, Call, Client } from "./client.js";

/** A framework's application and a client of it, running. */
export interface Pair {
  readonly client: Client;
  readonly state: AppState;
  /** What the application is to find out about its caller. */
  readonly caller: string | null;
  /** Of the application, with the client's scheme, without path. */
  readonly origin: string;
  /** Unique to the test. */
  readonly key: string;
}

/** One thing that applications do. The same in every pair of framework and client. */
export interface Feature {
  readonly name: string;
  /** What the client must not lack. */
  readonly needs?: string;
  run(pair: Pair): Promise<void>;
}

const mebibyte = 1_048_576;

function send(pair: Pair, call: Omit<Call, "url"> & { readonly path: string }): Promise<Answer> {
  return pair.client.send({ ...call, url: `${pair.origin}${call.path}` });
}

function json(answer: Answer, status = 200): unknown {
  const text = answer.body.toString();
  expect({ status: answer.status, text }).toMatchObject({ status });
  return JSON.parse(text);
}

async function firstOf(body: AsyncIterable<Uint8Array>): Promise<{ first: Buffer; rest: AsyncIterator<Uint8Array> }> {
  const rest = body[Symbol.asyncIterator]();
  const { value } = await rest.next();
  return { first: Buffer.from(value), rest };
}

export const features: readonly Feature[] = [
  {
    name: "routing with parameters and a query",
    async run(pair) {
      const answer = await send(pair, { path: "/items/sch%C3%B6n?q=a%26b" });
      expect(json(answer)).toEqual({ id: "schön", q: "a&b" });
      expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    },
  },
  {
    name: "JSON both ways",
    async run(pair) {
      const value = { text: "grün", list: [1, null, { deep: true }] };
      expect(json(await send(pair, { method: "POST", path: "/json", json: value }), 201)).toEqual({ got: value });
    },
  },
  {
    name: "JSON of unknown length",
    async run(pair) {
      const chunks = ['{"one":', "1}"].map((text) => Buffer.from(text));
      const headers = { "content-type": "application/json" };
      const answer = await send(pair, { method: "POST", path: "/json", headers, chunks });
      expect(json(answer, 201)).toEqual({ got: { one: 1 } });
    },
  },
  {
    name: "a form",
    async run(pair) {
      const form = { name: "Käthe & Söhne", empty: "" };
      expect(json(await send(pair, { method: "POST", path: "/form", form }))).toEqual(form);
    },
  },
  {
    name: "an upload of a multipart form",
    async run(pair) {
      const bytes = bytesOf(300_000);
      const upload = { title: "a picture", name: "picture.bin", type: "image/png", bytes };
      expect(json(await send(pair, { method: "POST", path: "/upload", upload }))).toEqual({
        title: "a picture",
        name: "picture.bin",
        type: "image/png",
        ...(await digestOf(300_000)),
      });
    },
  },
  {
    name: "10 MiB up, streamed",
    async run(pair) {
      const size = 10 * mebibyte;
      const headers = { "content-type": "application/octet-stream" };
      const answer = await send(pair, { method: "POST", path: "/count", headers, chunks: chunksOf(size) });
      expect(json(answer)).toEqual(await digestOf(size));
    },
  },
  {
    name: "10 MiB down, streamed",
    async run({ client, origin }) {
      const size = 10 * mebibyte;
      const { status, body } = await client.open({ url: `${origin}/stream?n=${size}` });
      expect(status).toBe(200);
      expect(await digest(body)).toEqual(await digestOf(size));
    },
  },
  {
    name: "1 MiB both ways at once",
    async run(pair) {
      const headers = { "content-type": "application/octet-stream" };
      const answer = await send(pair, { method: "POST", path: "/mirror", headers, chunks: chunksOf(mebibyte) });
      expect(answer.status).toBe(200);
      expect(await digest(answer.body)).toEqual(await digestOf(mebibyte));
    },
  },
  {
    name: "headers and cookies",
    async run(pair) {
      const headers = { "x-question": "wie geht's?", cookie: "one=1; two=2" };
      const answer = await send(pair, { path: "/headers", headers });
      const host = new URL(pair.origin).host;
      expect(json(answer)).toEqual({ question: "wie geht's?", cookie: "one=1; two=2", host });
      expect(answer.headers.get("x-answer")).toBe("ja");
      const cookies = answer.headers.getSetCookie().map((cookie) => cookie.toLowerCase());
      expect(cookies.map((cookie) => cookie.split("; ")[0])).toEqual(["a=1", "b=zwei"]);
      expect(cookies[1]).toContain("httponly");
    },
  },
  {
    name: "a redirect that is followed",
    needs: "follow",
    async run(pair) {
      expect(json(await send(pair, { path: "/redirect", follow: true }))).toEqual({ id: "7", q: "redirected" });
    },
  },
  {
    name: "a redirect that keeps method and body",
    needs: "follow",
    async run(pair) {
      const answer = await send(pair, { method: "POST", path: "/redirect", json: { kept: true }, follow: true });
      expect(json(answer, 201)).toEqual({ got: { kept: true } });
    },
  },
  {
    name: "a redirect that is shown",
    needs: "manual",
    async run(pair) {
      const answer = await send(pair, { path: "/redirect" });
      expect(answer.status).toBe(302);
      expect(answer.headers.get("location")).toMatch(/\/items\/7\?q=redirected$/);
    },
  },
  {
    name: "HEAD",
    async run(pair) {
      const answer = await send(pair, { method: "HEAD", path: "/page" });
      expect({ status: answer.status, length: answer.body.length }).toEqual({ status: 200, length: 0 });
      expect(answer.headers.get("etag")).not.toBeNull();
    },
  },
  {
    name: "ETag and 304",
    async run(pair) {
      const page = await send(pair, { path: "/page" });
      expect(page.body.toString()).toBe("a page with an ETag");
      const etag = page.headers.get("etag") ?? "";
      // Without it, fetch adds a Cache-Control with which Express and Koa answer in full.
      const headers = { "if-none-match": etag, "cache-control": "max-age=0" };
      const again = await send(pair, { path: "/page", headers });
      expect({ status: again.status, length: again.body.length }).toEqual({ status: 304, length: 0 });
      expect(again.headers.get("etag")).toBe(etag);
    },
  },
  {
    name: "204",
    async run(pair) {
      const answer = await send(pair, { path: "/none" });
      expect({ status: answer.status, length: answer.body.length }).toEqual({ status: 204, length: 0 });
      expect(answer.headers.get("content-length")).toBeNull();
    },
  },
  {
    name: "the application's 404",
    async run(pair) {
      expect(json(await send(pair, { path: "/missing" }), 404)).toEqual({ missing: "/missing" });
    },
  },
  {
    name: "the application's error handler",
    async run(pair) {
      expect(json(await send(pair, { path: "/throws" }), 500)).toEqual({ error: "thrown in a handler" });
    },
  },
  {
    name: "compression",
    async run(pair) {
      const answer = await send(pair, { path: "/compressed", headers: { "accept-encoding": "gzip" } });
      expect(answer.status).toBe(200);
      // Some clients decode by themselves, and some of them leave the header.
      const compressed = answer.body[0] === 0x1f && answer.body[1] === 0x8b;
      expect((compressed ? gunzipSync(answer.body) : answer.body).toString()).toBe(longText);
    },
  },
  {
    name: "server-sent events, each when it happens",
    async run({ client, state, origin, key }) {
      const { body, status } = await client.open({ url: `${origin}/events?key=${key}` });
      expect(status).toBe(200);
      let text = "";
      for await (const chunk of body) {
        text += Buffer.from(chunk).toString();
        // The second event happens when the first has arrived.
        if (/data: first\n/.test(text)) state.open(key);
      }
      expect(text.match(/^data: \w+$/gm)).toEqual(["data: first", "data: second"]);
    },
  },
  {
    name: "the caller gives up before the answer",
    async run(pair) {
      const abort = new AbortController();
      const sent = send(pair, { path: `/hang?key=${pair.key}`, signal: abort.signal });
      const refused = expect(sent).rejects.toThrow();
      await pair.state.arrived(pair.key);
      abort.abort();
      await refused;
      await pair.state.aborted(pair.key);
    },
  },
  {
    name: "a caller that does not read stops the application; its giving up ends it",
    async run(pair) {
      const { client, state, origin, key } = pair;
      const { body, abort } = await client.open({ url: `${origin}/endless?key=${key}` });
      const { first } = await firstOf(body);
      expect(first.length).toBeGreaterThan(0);
      for (let i = 0; i < 20; i++) await send(pair, { path: "/none" });
      expect(state.produced(key)).toBeLessThan(16 * mebibyte);
      abort();
      await state.aborted(key);
    },
  },
  {
    name: "the client's own timeout",
    async run({ client, state, origin, key }) {
      await expect(client.sendWithin(20, { url: `${origin}/hang?key=${key}` })).rejects.toThrow();
      await state.aborted(key);
    },
  },
  {
    name: "a response that breaks off never looks whole",
    async run(pair) {
      await expect(send(pair, { path: "/broken" })).rejects.toThrow();
    },
  },
  {
    name: "response trailers",
    async run(pair) {
      const answer = await send(pair, { path: "/trailers" });
      expect(answer.body.toString()).toBe("body with a trailer");
      if (answer.trailers !== null) expect({ ...answer.trailers }).toEqual({ "x-check": "4711" });
    },
  },
  {
    name: "early hints",
    async run(pair) {
      const answer = await send(pair, { path: "/hints" });
      expect({ status: answer.status, text: answer.body.toString() }).toEqual({ status: 200, text: "hinted" });
      if (answer.informational !== null) expect(answer.informational).toEqual([103]);
    },
  },
  {
    name: "the caller's identity inside the framework",
    async run(pair) {
      const headers = { "l5d-client-id": "spiffe://dev.selvage/ns/test/sa/admin" };
      expect(json(await send(pair, { path: "/peer", headers }))).toEqual({ peer: pair.caller });
    },
  },
  {
    name: "many at once",
    async run(pair) {
      const ids = Array.from({ length: 40 }, (_, i) => `${i}`);
      const answers = await Promise.all(ids.map((id) => send(pair, { path: `/items/${id}` })));
      expect(answers.map((answer) => (json(answer) as { id: string }).id)).toEqual(ids);
    },
  },
  {
    name: "one connection for many, one after the other",
    async run(pair) {
      const ports = new Set<number>();
      for (let i = 0; i < 10; i++) {
        const socket = json(await send(pair, { path: "/socket" })) as Record<string, unknown>;
        expect(socket).toMatchObject({
          remoteAddress: "127.0.0.1",
          httpVersion: "1.1",
          encrypted: pair.caller !== null,
        });
        ports.add(socket["remotePort"] as number);
      }
      expect(ports.size).toBe(1);
    },
  },
];

/** What only node:http can send. */
export const requestFeatures: readonly Feature[] = [
  {
    name: "request trailers",
    async run(pair) {
      const headers = { "x-send-trailer": "2", "content-type": "application/octet-stream" };
      const chunks = [Buffer.from("ab")];
      const answer = await send(pair, { method: "POST", path: "/request-trailers", headers, chunks });
      expect(json(answer)).toEqual({ "x-sum": "2" });
    },
  },
  {
    name: "Expect: 100-continue",
    async run(pair) {
      const headers = { expect: "100-continue", "content-type": "application/octet-stream" };
      const answer = await send(pair, { method: "POST", path: "/count", headers, chunks: chunksOf(100_000) });
      expect(json(answer)).toEqual(await digestOf(100_000));
    },
  },
];
