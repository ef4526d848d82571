import "./frameworks/common-js.js";
import { peerOf } from "@selvage/core";
import express from "express";
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callerId, listen, Meshes } from "./meshes.js";

const meshes = new Meshes();
let server: ReturnType<Awaited<ReturnType<Meshes["server"]>>["createServer"]>;

beforeAll(async () => {
  const app = express();
  app.use(express.json());
  app.get("/items/:id", (req: typeof express, res: typeof express) =>
    res.json({ id: req.params.id, peer: `${peerOf(req)}` }),
  );
  app.post("/items", (req: typeof express, res: typeof express) => res.status(201).json(req.body));
  app.get("/cookies", (req: typeof express, res: typeof express) =>
    req.get("cookie") ? res.send(req.get("cookie")) : res.cookie("seen", "yes").send("none"),
  );
  server = (await meshes.server()).createServer(app);
});
afterAll(() => meshes.stop());

describe("supertest", () => {
  test("listens, asks and closes by itself, as with any server", async () => {
    expect(server.listening).toBe(false);
    await supertest(server).get("/items/7").expect(200, { id: "7", peer: "null" }).expect("content-type", /json/);
    await supertest(server).post("/items").send({ name: "a thing" }).expect(201, { name: "a thing" });
    await supertest(server).get("/nothing").expect(404);
  });

  test("keeps cookies in an agent", async () => {
    const agent = supertest.agent(server);
    await agent.get("/cookies").expect(200, "none");
    await agent.get("/cookies").expect(200, "seen=yes");
  });

  test("goes through the mesh with its agent", async () => {
    const port = await listen(server);
    const caller = await meshes.caller({ "items.test": port });
    await supertest("http://items.test").get("/items/8").agent(caller.agent).expect(200, { id: "8", peer: callerId });
  });
});
