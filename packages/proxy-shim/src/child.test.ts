import { expect, test } from "vitest";
import { proxyEnvironment } from "./child.js";

test("https goes by the shim only where something outside is allowed", () => {
  const direct = { NO_PROXY: "localhost,127.0.0.1,::1", no_proxy: "localhost,127.0.0.1,::1" };
  const http = { HTTP_PROXY: "http://127.0.0.1:1", http_proxy: "http://127.0.0.1:1", ...direct };
  expect(proxyEnvironment("http://127.0.0.1:1", false)).toEqual(http);
  const https = { HTTPS_PROXY: "http://127.0.0.1:1", https_proxy: "http://127.0.0.1:1" };
  expect(proxyEnvironment("http://127.0.0.1:1", true)).toEqual({ ...http, ...https });
});
