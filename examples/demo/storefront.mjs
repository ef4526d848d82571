// The storefront: an Express app that anybody may call, and that calls the inventory and the ratings by their names.
import { createMesh } from "@selvage/core";
import express from "express";

const mesh = await createMesh({
  workload: { name: "storefront", namespace: "shop" },
  inbound: { policy: { default: "all-unauthenticated" } },
  outbound: {
    services: {
      "inventory.shop": {
        routes: [
          {
            name: "items",
            match: { method: "GET", path: "/items/*" },
            timeout: "2s",
            retry: { limit: 2, statuses: [503] },
          },
        ],
      },
    },
  },
  admin: { port: 0 },
});

const app = express();
app.get("/products/:id", async (req, res) => {
  const [item, rating] = await Promise.all([
    mesh.fetch(`http://inventory.shop/items/${req.params.id}`),
    mesh.fetch(`http://ratings.shop/ratings/${req.params.id}`),
  ]);
  if (!item.ok || !rating.ok) {
    const failed = item.ok ? rating : item;
    return res.status(502).json({ error: failed.headers.get("l5d-proxy-error") ?? `status ${failed.status}` });
  }
  res.json({ ...(await item.json()), ...(await rating.json()) });
});
const server = mesh.createServer(app).listen(0, "127.0.0.1", () => {
  process.send?.({ ready: true, admin: mesh.adminAddress, address: server.address() });
});

process.once("SIGTERM", async () => {
  await mesh.close();
  process.disconnect?.();
});
