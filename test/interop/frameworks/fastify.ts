import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { peerOf } from "@selvage/core";
import fastify from "fastify";
import multer from "multer";
import { chunksOf, digest, longText } from "../bytes.js";
import type { Framework } from "../framework.js";
import { rawPaths, rawRoute } from "../raw-routes.js";

type Query = { Querystring: Record<string, string> };

export const fastifyFramework: Framework = {
  name: "Fastify 5",
  async start(mesh, state) {
    const app = fastify({ serverFactory: (handler, options) => mesh.serverFactory(handler, options) });
    const upload = multer({ storage: multer.memoryStorage() }).single("file");
    const untouched = (_req: unknown, payload: Readable, done: (error: null, body: Readable) => void) =>
      done(null, payload);
    app.addContentTypeParser(["multipart/form-data", "application/octet-stream"], untouched);
    app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (_req, body, done) =>
      done(null, Object.fromEntries(new URLSearchParams(body as string))),
    );
    app.get<Query & { Params: { id: string } }>("/items/:id", async (req) => ({
      id: req.params.id,
      q: req.query["q"],
    }));
    app.post("/json", async (req, reply) => reply.code(201).send({ got: req.body }));
    app.post("/form", async (req) => req.body);
    app.post("/upload", async (req, reply) => {
      const raw = req.raw as typeof req.raw & {
        body: { title: string };
        file: Record<string, never> & { buffer: Buffer };
      };
      await new Promise<void>((resolve, reject) =>
        upload(raw, reply.raw, (error: Error | null) => (error ? reject(error) : resolve())),
      );
      const { originalname: name, mimetype: type, buffer } = raw.file;
      return { title: raw.body.title, name, type, ...(await digest(buffer)) };
    });
    app.post("/count", async (req) => digest(req.body as Readable));
    app.get<Query>("/stream", (req, reply) =>
      reply.type("application/octet-stream").send(Readable.from(chunksOf(Number(req.query["n"])))),
    );
    app.get<Query>("/endless", (req, reply) => reply.send(Readable.from(state.endless(req.query["key"] ?? ""))));
    app.get("/headers", async (req, reply) => {
      reply.header("X-Answer", "ja").header("Set-Cookie", ["a=1; Path=/", "b=zwei; Path=/; HttpOnly"]);
      const { "x-question": question, cookie, host } = req.headers;
      return { question, cookie, host };
    });
    app.get("/redirect", (_req, reply) => reply.redirect("/items/7?q=redirected"));
    app.post("/redirect", (_req, reply) => reply.redirect("/json", 307));
    app.get("/page", async (req, reply) => {
      const page = "a page with an ETag";
      const tag = `"${createHash("sha1").update(page).digest("base64url")}"`;
      reply.header("etag", tag).type("text/plain");
      if (req.headers["if-none-match"] === tag) return reply.code(304).send();
      return page;
    });
    app.get("/none", (_req, reply) => reply.code(204).send());
    app.get("/throws", async () => {
      throw new Error("thrown in a handler");
    });
    app.get("/compressed", (_req, reply) =>
      reply
        .header("content-encoding", "gzip")
        .type("text/plain")
        .send(Readable.from([longText]).pipe(createGzip())),
    );
    app.get<Query>("/events", (req, reply) => {
      const { key = "" } = req.query;
      const lines = async function* () {
        for await (const data of state.events(key)) yield `data: ${data}\n\n`;
      };
      return reply.type("text/event-stream").send(Readable.from(lines()));
    });
    app.get("/peer", async (req) => ({ peer: peerOf(req.raw)?.toString() ?? null }));
    for (const url of rawPaths) {
      app.all(url, (req, reply) => {
        reply.hijack();
        rawRoute(state, req.raw, reply.raw);
      });
    }
    app.setNotFoundHandler((req, reply) => reply.code(404).send({ missing: req.url }));
    app.setErrorHandler((error: Error, _req, reply) => reply.code(500).send({ error: error.message }));
    await app.ready();
    return app.server;
  },
};
