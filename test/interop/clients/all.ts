import type { Mesh } from "@selvage/core";
import { installGlobalDispatcher } from "@selvage/http2/node";
import { FormData as UndiciFormData, fetch as undiciFetch } from "undici";
import type { Client } from "../client.js";
import { axiosClient, axiosFetchClient } from "./axios.js";
import { fetchClient } from "./fetch.js";
import { gotClient } from "./got.js";
import { nodeFetchClient } from "./node-fetch.js";
import { nodeHttpClient } from "./node-http.js";
import { undiciRequestClient, undiciStreamClient } from "./undici.js";

export const clientNames = [
  "node:http",
  "node:https",
  "axios",
  "axios (fetch)",
  "got",
  "node-fetch",
  "undici request",
  "undici stream",
  "undici fetch",
  "mesh.fetch",
  "fetch, its dispatcher option",
  "fetch, global dispatcher",
] as const;

/** Every client, by name, through one mesh. */
export function meshedClients(mesh: Mesh): ReadonlyMap<string, Client> {
  const { dispatcher } = mesh;
  const clients = [
    nodeHttpClient("node:http", "http", mesh.agent),
    nodeHttpClient("node:https", "https", mesh.httpsAgent),
    axiosClient(mesh),
    axiosFetchClient(mesh),
    gotClient(mesh),
    nodeFetchClient(mesh),
    undiciRequestClient(mesh),
    undiciStreamClient(mesh),
    fetchClient(
      "undici fetch",
      ((url: string, init: object) => undiciFetch(url, { ...init, dispatcher })) as never,
      (call) => call(),
      UndiciFormData as never,
    ),
    fetchClient("mesh.fetch", mesh.fetch),
    fetchClient("fetch, its dispatcher option", (url, init) =>
      fetch(url, { ...init, dispatcher } as unknown as RequestInit),
    ),
    fetchClient(
      "fetch, global dispatcher",
      (url, init) => fetch(url, init),
      async (call) => {
        const restore = installGlobalDispatcher(dispatcher);
        try {
          return await call();
        } finally {
          restore();
        }
      },
    ),
  ];
  return new Map(clients.map((client) => [client.name, client]));
}
