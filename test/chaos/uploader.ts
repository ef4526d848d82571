// Sends a large body through a mesh of its own and says what that took: `uploader.mjs` with the task as a message.
import { request } from "node:http";
import { Readable } from "node:stream";
import { createMesh, type MeshOptions } from "@selvage/core";

export interface UploadTask {
  readonly options: MeshOptions;
  readonly authority: string;
  readonly bytes: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface UploadResult {
  readonly status: number | string;
  readonly milliseconds: number;
  /** How much more memory the process had at its largest than before. */
  readonly grownBytes: number;
}

process.once("message", async (task: UploadTask) => {
  const mesh = await createMesh(task.options);
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  const startedAt = performance.now();
  const status = await upload(task, mesh.agent);
  clearInterval(timer);
  const result: UploadResult = {
    status,
    milliseconds: Math.round(performance.now() - startedAt),
    grownBytes: most - before,
  };
  process.send?.(result, () => process.exit(0));
});

function upload(task: UploadTask, agent: import("node:http").Agent): Promise<number | string> {
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
    const req = request(
      {
        agent,
        method: "POST",
        host: task.authority,
        path: "/",
        headers: { ...task.headers, "content-length": task.bytes },
      },
      (res) => {
        res.resume();
        res.on("close", () => {
          body.destroy();
          resolve(res.complete ? (res.statusCode ?? 0) : "broken");
        });
      },
    );
    req.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    body.pipe(req);
  });
}
