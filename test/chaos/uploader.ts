// Sends a large body through a mesh of its own, or by a shim, and says what that took: `uploader.mjs` with the task as a message.
import { type RequestOptions, request } from "node:http";
import { Readable } from "node:stream";
import { createMesh, type MeshOptions } from "@selvage/core";

export interface UploadTask {
  readonly authority: string;
  readonly bytes: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Of the library; without it, it goes to a shim. */
  readonly mesh?: MeshOptions;
  /** The outbound port of the shim. */
  readonly proxyPort?: number;
}

export interface UploadResult {
  readonly status: number | string;
  readonly milliseconds: number;
}

process.once("message", async (task: UploadTask) => {
  const mesh = task.mesh === undefined ? null : await createMesh({ ...task.mesh, log() {} });
  process.send?.("so be it");
  // Memory is measured from here on.
  process.once("message", async () => {
    const startedAt = performance.now();
    const where: RequestOptions =
      mesh === null
        ? { host: "127.0.0.1", port: task.proxyPort!, path: `http://${task.authority}/` }
        : { agent: mesh.agent, host: task.authority, path: "/" };
    const status = await upload(task, where);
    process.send?.({ status, milliseconds: Math.round(performance.now() - startedAt) } satisfies UploadResult);
  });
});

function upload(task: UploadTask, where: RequestOptions): Promise<number | string> {
  const chunk = Buffer.alloc(65_536, "selvage ");
  let left = task.bytes;
  const body = new Readable({
    read() {
      const size = Math.min(left, chunk.length);
      left -= size;
      this.push(size === 0 ? null : chunk.subarray(0, size));
    },
  });
  return new Promise((resolve) => {
    const headers = { ...task.headers, host: task.authority, "content-length": task.bytes };
    const req = request({ ...where, method: "POST", headers }, (res) => {
      res.resume();
      res.on("close", () => {
        body.destroy();
        resolve(res.complete ? (res.statusCode ?? 0) : "broken");
      });
    });
    req.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    body.pipe(req);
  });
}
