// A caller: the service is found by its name, and proves that it is who it says.
import { createMesh } from "@selvage/core";

const mesh = await createMesh({ workload: { name: "greeter" } });
const response = await mesh.fetch("http://hello/");
console.log(response.status, (await response.text()).trim());
await mesh.close();
