import "./common-js.js";
import "reflect-metadata";
import { Readable } from "node:stream";
import {
  Body,
  Catch,
  Controller,
  Get,
  Header,
  HttpCode,
  Module,
  Param,
  Post,
  Query,
  Redirect,
  Req,
  Res,
  Sse,
  StreamableFile,
  UploadedFile,
  UseFilters,
  UseInterceptors,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ExpressAdapter, FileInterceptor } from "@nestjs/platform-express";
import { peerOf } from "@selvage/core";
import compression from "compression";
import express from "express";
import { from, map } from "rxjs";
import type { AppState } from "../app-state.js";
import { chunksOf, digest, longText } from "../bytes.js";
import type { Framework } from "../framework.js";
import { rawPaths, rawRoute } from "../raw-routes.js";

// biome-ignore lint/suspicious/noExplicitAny: Express brings no types
type Any = any;
type Decorator = (target: object, name: string, descriptor: PropertyDescriptor) => unknown;
type ParameterDecorator = (target: object, name: string, index: number) => unknown;

/** What `@First() @Second() method(@A() a, @B() b) {}` does, without syntax that needs a compiler. */
function decorate(
  owner: { prototype: object },
  method: string,
  decorators: readonly unknown[],
  parameters: readonly unknown[] = [],
): void {
  const descriptor = Object.getOwnPropertyDescriptor(owner.prototype, method) as PropertyDescriptor;
  parameters.forEach((parameter, i) => {
    (parameter as ParameterDecorator)(owner.prototype, method, i);
  });
  for (const decorator of [...decorators].reverse()) (decorator as Decorator)(owner.prototype, method, descriptor);
}

function appModule(state: AppState) {
  class AppController {
    item(id: string, q: string) {
      return { id, q };
    }
    json(body: unknown) {
      return { got: body };
    }
    form(body: unknown) {
      return body;
    }
    async upload(file: { originalname: string; mimetype: string; buffer: Buffer }, body: { title: string }) {
      const { originalname: name, mimetype: type, buffer } = file;
      return { title: body.title, name, type, ...(await digest(buffer)) };
    }
    count(req: Any) {
      return digest(req);
    }
    stream(n: string) {
      return new StreamableFile(Readable.from(chunksOf(Number(n)), { objectMode: false }));
    }
    endless(key: string) {
      return new StreamableFile(Readable.from(state.endless(key)));
    }
    headers(req: Any, res: Any) {
      res.cookie("a", "1").cookie("b", "zwei", { httpOnly: true });
      return { question: req.get("X-Question"), cookie: req.get("Cookie"), host: req.get("Host") };
    }
    redirect() {}
    redirectPost() {}
    page() {
      return "a page with an ETag";
    }
    none() {}
    throws() {
      throw new Error("thrown in a handler");
    }
    compressed() {
      return longText;
    }
    events(key: string) {
      return from(state.events(key)).pipe(map((data) => ({ data })));
    }
    peer(req: Any) {
      return { peer: peerOf(req)?.toString() ?? null };
    }
  }
  Controller()(AppController);
  decorate(AppController, "item", [Get("items/:id")], [Param("id"), Query("q")]);
  decorate(AppController, "json", [Post("json")], [Body()]);
  decorate(AppController, "form", [Post("form"), HttpCode(200)], [Body()]);
  const uploading = [Post("upload"), HttpCode(200), UseInterceptors(FileInterceptor("file"))];
  decorate(AppController, "upload", uploading, [UploadedFile(), Body()]);
  decorate(AppController, "count", [Post("count"), HttpCode(200)], [Req()]);
  decorate(AppController, "stream", [Get("stream")], [Query("n")]);
  decorate(AppController, "endless", [Get("endless")], [Query("key")]);
  decorate(AppController, "headers", [Get("headers"), Header("X-Answer", "ja")], [Req(), Res({ passthrough: true })]);
  decorate(AppController, "redirect", [Get("redirect"), Redirect("/items/7?q=redirected", 302)]);
  decorate(AppController, "redirectPost", [Post("redirect"), Redirect("/json", 307)]);
  decorate(AppController, "page", [Get("page")]);
  decorate(AppController, "none", [Get("none"), HttpCode(204)]);
  decorate(AppController, "throws", [Get("throws")]);
  decorate(AppController, "compressed", [Get("compressed"), Header("content-type", "text/plain")]);
  decorate(AppController, "events", [Sse("events")], [Query("key")]);
  decorate(AppController, "peer", [Get("peer")], [Req()]);

  class ErrorFilter {
    catch(error: Error & { getStatus?: () => number }, host: Any) {
      const http = host.switchToHttp();
      const status = error.getStatus?.() ?? 500;
      const answer = status === 404 ? { missing: http.getRequest().path } : { error: error.message };
      http.getResponse().status(status).json(answer);
    }
  }
  Catch()(ErrorFilter);
  UseFilters(ErrorFilter)(AppController);

  class AppModule {}
  Module({ controllers: [AppController] })(AppModule);
  return { AppModule, filter: new ErrorFilter() };
}

export const nestFramework: Framework = {
  name: "Nest 12",
  async start(mesh, state) {
    const server = express();
    server.use("/compressed", compression({ threshold: 0 }));
    server.all(rawPaths, (req: Any, res: Any) => rawRoute(state, req, res));
    const { AppModule, filter } = appModule(state);
    const app = await NestFactory.create(AppModule, new ExpressAdapter(server), { logger: false });
    app.useGlobalFilters(filter);
    await app.init();
    // As Nest's own documentation has it for several servers: `http.createServer(server)`.
    return mesh.createServer(server);
  },
};
