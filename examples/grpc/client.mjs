// An ordinary grpc-js client: only the arguments of its constructor come from the mesh.
import { createMesh } from "@selvage/core";
import { grpcChannel } from "@selvage/core/grpc";
import { Greeter } from "./greeter.mjs";

const mesh = await createMesh({ workload: { name: "caller" } });
const client = new Greeter(...grpcChannel(mesh, "greeter"));

client.sayHello({ name: "world" }, { deadline: Date.now() + 2_000 }, async (error, answer) => {
  console.log(error?.message ?? answer);
  client.close();
  await mesh.close();
});
