// The same app, in the mesh.
import { createMesh } from "@selvage/core";
import { options, ready } from "./program.mjs";

const mesh = await createMesh({ ...options.mesh, admin: false });
const body = "x".repeat(options.bytes);
const server = mesh.createServer((_req, res) => {
  res.writeHead(200, { "content-type": "text/plain", "content-length": body.length });
  res.end(body);
});
server.listen(0, "127.0.0.1", () => ready({ port: server.address().port }));
