import type { Server } from "node:http";
import { Readable } from "node:stream";
import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { peerOf } from "@selvage/core";
import { Hono } from "hono";
import { compress } from "hono/compress";
import { setCookie } from "hono/cookie";
import { etag } from "hono/etag";
import { streamSSE } from "hono/streaming";
import { chunksOf, digest, longText } from "../bytes.js";
import type { Framework } from "../framework.js";
import { rawPaths, rawRoute } from "../raw-routes.js";

const web = (chunks: AsyncIterable<Buffer> | Iterable<Buffer>) =>
  Readable.toWeb(Readable.from(chunks, { objectMode: false })) as unknown as ReadableStream<Uint8Array>;

export const honoFramework: Framework = {
  name: "Hono 4",
  async start(mesh, state) {
    const app = new Hono<{ Bindings: HttpBindings }>();
    app.get("/items/:id", (c) => c.json({ id: c.req.param("id"), q: c.req.query("q") }));
    app.post("/json", async (c) => c.json({ got: await c.req.json() }, 201));
    app.post("/form", async (c) => c.json(await c.req.parseBody()));
    app.post("/upload", async (c) => {
      const { title, file } = (await c.req.parseBody()) as { title: string; file: File };
      const { name, type } = file;
      return c.json({ title, name, type, ...(await digest(new Uint8Array(await file.arrayBuffer()))) });
    });
    app.post("/count", async (c) => c.json(await digest(c.req.raw.body as unknown as AsyncIterable<Uint8Array>)));
    app.get("/stream", (c) =>
      c.body(web(chunksOf(Number(c.req.query("n")))), 200, { "content-type": "application/octet-stream" }),
    );
    app.get("/endless", (c) => c.body(web(state.endless(c.req.query("key") ?? ""))));
    app.get("/headers", (c) => {
      setCookie(c, "a", "1");
      setCookie(c, "b", "zwei", { httpOnly: true });
      c.header("X-Answer", "ja");
      return c.json({
        question: c.req.header("X-Question"),
        cookie: c.req.header("Cookie"),
        host: new URL(c.req.url).host,
      });
    });
    app.get("/redirect", (c) => c.redirect("/items/7?q=redirected"));
    app.post("/redirect", (c) => c.redirect("/json", 307));
    app.get("/page", etag(), (c) => c.text("a page with an ETag"));
    app.get("/none", (c) => c.body(null, 204));
    app.get("/throws", () => {
      throw new Error("thrown in a handler");
    });
    app.get("/compressed", compress({ encoding: "gzip" }), (c) => c.text(longText));
    app.get("/events", (c) =>
      streamSSE(c, async (stream) => {
        for await (const data of state.events(c.req.query("key") ?? "")) await stream.writeSSE({ data });
      }),
    );
    app.get("/peer", (c) => c.json({ peer: peerOf(c.env.incoming)?.toString() ?? null }));
    for (const path of rawPaths) {
      app.all(path, (c) => {
        rawRoute(state, c.env.incoming, c.env.outgoing);
        return RESPONSE_ALREADY_SENT;
      });
    }
    app.notFound((c) => c.json({ missing: c.req.path }, 404));
    app.onError((error, c) => c.json({ error: error.message }, 500));
    return createAdaptorServer({
      fetch: app.fetch,
      createServer: ((options: object, listener: never) => mesh.serverFactory(listener, options)) as never,
    }) as Server;
  },
};
