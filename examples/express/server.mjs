// An Express app as it always was; only the server around it is the mesh's.
import { createMesh, peerOf } from "@selvage/core";
import express from "express";

const app = express();
app.use(express.json());
app.get("/whoami", (req, res) => res.json({ you: peerOf(req)?.toString() ?? null }));
app.post("/orders", (req, res) => res.status(201).json({ ordered: req.body, by: peerOf(req)?.toString() ?? null }));

const mesh = await createMesh({ workload: { name: "orders" } });
mesh.createServer(app).listen(Number(process.env.PORT ?? 0), () => console.log("orders is up"));

process.once("SIGTERM", () => mesh.close());
process.once("SIGINT", () => mesh.close());
