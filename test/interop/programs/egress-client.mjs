// Calls a URL outside the mesh: behind `selvage run` through the shim, else with the library. Prints status and text, or the reason.
import { request } from "node:http";

const url = process.argv[2];

async function withLibrary() {
  const { createMesh } = await import("@selvage/core");
  const mesh = await createMesh({ workload: { name: "child" }, admin: false, drain: { timeout: "100ms" } });
  const response = await mesh.fetch(url);
  const text = await response.text();
  await mesh.close();
  return `${response.status} ${text}`;
}

function throughShim(proxy) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(proxy);
    const req = request({ host: hostname, port, path: url, headers: { host: new URL(url).host } }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
      res.on("end", () => resolve(`${res.statusCode} ${text}`));
    });
    req.on("error", reject).end();
  });
}

const proxy = process.env.HTTP_PROXY ?? process.env.http_proxy;
process.stdout.write(await (process.env.BEHIND_SHIM === "1" ? throughShim(proxy) : withLibrary()));
