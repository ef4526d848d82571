// One replica of the inventory: Fastify on the mesh's server. It can be told to take its time, to fail a share of its requests, and to die.
import { setTimeout as wait } from "node:timers/promises";
import { createMesh } from "@selvage/core";
import Fastify from "fastify";

const failShare = Number(process.env.FAIL_SHARE ?? 0);
const answerMs = Number(process.env.ANSWER_MS ?? 0);
const mesh = await createMesh({
  workload: { name: "inventory", namespace: "shop" },
  inbound: {
    policy: {
      default: "deny",
      rules: [
        {
          name: "shop-reads",
          action: "allow",
          from: ["spiffe://dev.selvage/ns/shop/*"],
          methods: ["GET"],
          paths: ["/items/*"],
        },
      ],
    },
  },
  admin: { port: 0 },
});

const app = Fastify({ serverFactory: mesh.serverFactory });
let served = 0;
app.get("/items/:id", async (request, reply) => {
  served += 1;
  // Every third one, when the share is a third: failing evenly keeps the demo's figures steady.
  if (Math.floor(served * failShare) > Math.floor((served - 1) * failShare))
    return reply.code(503).send({ error: "out of order" });
  if (answerMs > 0) await wait(answerMs);
  return { id: request.params.id, stock: 10 + (Number(request.params.id) % 7) };
});
await app.listen({ port: 0, host: "127.0.0.1" });
process.send?.({ ready: true, admin: mesh.adminAddress, address: app.server.address() });

process.on("message", (message) => {
  // Not a shutdown: a crash, without a goodbye to anybody.
  if (message === "die") process.kill(process.pid, "SIGKILL");
});
process.once("SIGTERM", async () => {
  await mesh.close();
  await app.close();
  process.disconnect?.();
});
