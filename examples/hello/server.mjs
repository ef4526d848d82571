// A service in the mesh: mutual TLS, HTTP/2 and the caller's identity come with createServer.
import { createMesh, peerOf } from "@selvage/core";

const mesh = await createMesh({ workload: { name: "hello" } });
mesh.createServer((req, res) => res.end(`hello, ${peerOf(req)}\n`)).listen(0, () => console.log("hello is up"));

process.once("SIGTERM", () => mesh.close());
process.once("SIGINT", () => mesh.close());
