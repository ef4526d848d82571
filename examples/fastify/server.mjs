// Fastify takes the mesh's server by its serverFactory option.
import { createMesh, peerOf } from "@selvage/core";
import Fastify from "fastify";

const mesh = await createMesh({ workload: { name: "catalog" } });
const app = Fastify({ serverFactory: mesh.serverFactory });
app.get("/items/:id", async (request) => ({ id: request.params.id, askedBy: peerOf(request.raw)?.toString() ?? null }));

await app.listen({ port: Number(process.env.PORT ?? 0) });
console.log("catalog is up");

const stop = async () => {
  await mesh.close();
  await app.close();
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
