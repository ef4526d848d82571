import type { RequestListener, Server } from "node:http";
import type { Mesh } from "@selvage/core";
import type { AppState } from "./app-state.js";

/** An application written in a framework, which serves the paths of `features.ts`. */
export interface Framework {
  readonly name: string;
  /** Makes it and gives its server, which doesn't listen yet. */
  start(mesh: Mesh, state: AppState): Promise<Server>;
}

/** For frameworks that make a listener of node:http. */
export function listenerFramework(name: string, make: (state: AppState) => RequestListener): Framework {
  return { name, start: async (mesh, state) => mesh.createServer(make(state)) };
}
