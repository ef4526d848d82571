import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { peerOf } from "@selvage/core";
import Koa from "koa";
import multer from "multer";
import type { AppState } from "../app-state.js";
import { chunksOf, digest, longText } from "../bytes.js";
import { type Framework, listenerFramework } from "../framework.js";
import { rawPaths, rawRoute } from "../raw-routes.js";

/** Koa brings no types. */
// biome-ignore lint/suspicious/noExplicitAny: see above
type Context = any;

const upload = multer({ storage: multer.memoryStorage() }).single("file");

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Koa brings no router and no parsers; a route is a function of its context. */
function routes(state: AppState): Record<string, (ctx: Context) => unknown> {
  return {
    "POST /json": async (ctx) => {
      ctx.status = 201;
      ctx.body = { got: ctx.is("json") ? JSON.parse(await text(ctx.req)) : null };
    },
    "POST /form": async (ctx) => {
      ctx.body = ctx.is("urlencoded") ? Object.fromEntries(new URLSearchParams(await text(ctx.req))) : null;
    },
    "POST /upload": async (ctx) => {
      await new Promise<void>((resolve, reject) =>
        upload(ctx.req, ctx.res, (error: Error | null) => (error ? reject(error) : resolve())),
      );
      const { originalname: name, mimetype: type, buffer } = ctx.req.file;
      ctx.body = { title: ctx.req.body.title, name, type, ...(await digest(buffer)) };
    },
    "POST /count": async (ctx) => {
      ctx.body = await digest(ctx.req);
    },
    "GET /stream": (ctx) => {
      ctx.type = "application/octet-stream";
      ctx.body = Readable.from(chunksOf(Number(ctx.query.n)));
    },
    "GET /endless": (ctx) => {
      ctx.body = Readable.from(state.endless(ctx.query.key));
    },
    "GET /headers": (ctx) => {
      ctx.cookies.set("a", "1");
      ctx.cookies.set("b", "zwei", { httpOnly: true });
      ctx.set("X-Answer", "ja");
      ctx.body = { question: ctx.get("X-Question"), cookie: ctx.get("Cookie"), host: ctx.host };
    },
    "GET /redirect": (ctx) => ctx.redirect("/items/7?q=redirected"),
    "POST /redirect": (ctx) => {
      ctx.redirect("/json");
      ctx.status = 307;
    },
    "GET /page": (ctx) => {
      ctx.body = "a page with an ETag";
      ctx.etag = "the-page";
      if (ctx.fresh) ctx.status = 304;
    },
    "GET /none": (ctx) => {
      ctx.status = 204;
    },
    "GET /throws": () => {
      throw new Error("thrown in a handler");
    },
    "GET /compressed": (ctx) => {
      ctx.type = "text/plain";
      ctx.set("content-encoding", "gzip");
      ctx.body = Readable.from([longText]).pipe(createGzip());
    },
    "GET /events": (ctx) => {
      const lines = async function* () {
        for await (const data of state.events(ctx.query.key)) yield `data: ${data}\n\n`;
      };
      ctx.type = "text/event-stream";
      ctx.body = Readable.from(lines());
    },
    "GET /peer": (ctx) => {
      ctx.body = { peer: peerOf(ctx.req)?.toString() ?? null };
    },
  };
}

function koaApp(state: AppState) {
  const table = routes(state);
  const app = new Koa();
  app.use(async (ctx: Context, next: () => Promise<void>) => {
    try {
      await next();
      if (ctx.status === 404 && ctx.respond !== false) {
        ctx.body = { missing: ctx.path };
        ctx.status = 404;
      }
    } catch (error) {
      ctx.status = 500;
      ctx.body = { error: (error as Error).message };
    }
  });
  app.use(async (ctx: Context) => {
    if (rawPaths.includes(ctx.path)) {
      ctx.respond = false;
      // Koa starts with 404, and what is written past it would keep that.
      ctx.status = 200;
      return rawRoute(state, ctx.req, ctx.res);
    }
    const item = /^\/items\/([^/]+)$/.exec(ctx.path);
    if (item !== null) {
      ctx.body = { id: decodeURIComponent(item[1] ?? ""), q: ctx.query.q };
      return;
    }
    const method = ctx.method === "HEAD" ? "GET" : ctx.method;
    await table[`${method} ${ctx.path}`]?.(ctx);
  });
  return app.callback();
}

export const koaFramework: Framework = listenerFramework("Koa 3", koaApp);
