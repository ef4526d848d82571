import "./common-js.js";
import type { RequestListener } from "node:http";
import { pipeline, Readable } from "node:stream";
import { peerOf } from "@selvage/core";
import compression from "compression";
import express5 from "express";
import express4 from "express4";
import multer from "multer";
import type { AppState } from "../app-state.js";
import { chunksOf, digest, longText } from "../bytes.js";
import { type Framework, listenerFramework } from "../framework.js";
import { rawPaths, rawRoute } from "../raw-routes.js";

type Express = typeof express5;

function expressApp(express: Express, state: AppState): RequestListener {
  const app: Express = express();
  const upload = multer({ storage: multer.memoryStorage() });
  app.get("/items/:id", (req: Express, res: Express) => res.json({ id: req.params.id, q: req.query.q }));
  app.post("/json", express.json(), (req: Express, res: Express) => res.status(201).json({ got: req.body }));
  app.post("/form", express.urlencoded({ extended: false }), (req: Express, res: Express) => res.json(req.body));
  app.post("/upload", upload.single("file"), async (req: Express, res: Express) => {
    const { originalname, mimetype, buffer } = req.file;
    res.json({ title: req.body.title, name: originalname, type: mimetype, ...(await digest(buffer)) });
  });
  app.post("/count", async (req: Express, res: Express) => res.json(await digest(req)));
  app.get("/stream", (req: Express, res: Express) => {
    res.type("application/octet-stream");
    pipeline(Readable.from(chunksOf(Number(req.query.n))), res, () => {});
  });
  app.get("/endless", (req: Express, res: Express) => {
    pipeline(Readable.from(state.endless(req.query.key)), res, () => {});
  });
  app.get("/headers", (req: Express, res: Express) => {
    res.cookie("a", "1").cookie("b", "zwei", { httpOnly: true }).set("X-Answer", "ja");
    res.json({ question: req.get("X-Question"), cookie: req.get("Cookie"), host: req.get("Host") });
  });
  app.get("/redirect", (_req: Express, res: Express) => res.redirect("/items/7?q=redirected"));
  app.post("/redirect", (_req: Express, res: Express) => res.redirect(307, "/json"));
  app.get("/page", (_req: Express, res: Express) => res.send("a page with an ETag"));
  app.get("/none", (_req: Express, res: Express) => res.status(204).end());
  app.get("/throws", () => {
    throw new Error("thrown in a handler");
  });
  app.get("/compressed", compression({ threshold: 0 }), (_req: Express, res: Express) =>
    res.type("text/plain").send(longText),
  );
  app.get("/events", async (req: Express, res: Express) => {
    res.set("content-type", "text/event-stream").flushHeaders();
    for await (const data of state.events(req.query.key)) res.write(`data: ${data}\n\n`);
    res.end();
  });
  app.get("/peer", (req: Express, res: Express) => res.json({ peer: peerOf(req)?.toString() ?? null }));
  app.all(rawPaths, (req: Express, res: Express) => rawRoute(state, req, res));
  app.use((req: Express, res: Express) => res.status(404).json({ missing: req.path }));
  app.use((error: Error, _req: Express, res: Express, _next: () => void) =>
    res.status(500).json({ error: error.message }),
  );
  return app;
}

export const expresses: readonly Framework[] = [
  listenerFramework("Express 4", (state) => expressApp(express4, state)),
  listenerFramework("Express 5", (state) => expressApp(express5, state)),
];
