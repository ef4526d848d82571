// An ordinary grpc-js server, served on a port of the mesh instead of one of its own.
import { Server } from "@grpc/grpc-js";
import { createMesh } from "@selvage/core";
import { peerOfCall, serveGrpc } from "@selvage/core/grpc";
import { greeter } from "./greeter.mjs";

const server = new Server();
server.addService(greeter, {
  sayHello: (call, callback) => callback(null, `hello ${call.request.name}, you are ${peerOfCall(call)}`),
});

const mesh = await createMesh({ workload: { name: "greeter" } });
serveGrpc(mesh, server).listen(0, () => console.log("greeter is up"));

process.once("SIGTERM", () => mesh.close());
process.once("SIGINT", () => mesh.close());
