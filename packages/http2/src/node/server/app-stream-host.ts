import type { Server } from "node:http";
import type { Exchange } from "../../exchange.js";
import type { DeadlineList } from "./deadline-list.js";
import type { NodeRequest, NodeResponse } from "./node-internals.js";
import type { RequestHead } from "./request-head.js";

/** What all streams of an exit share. */
export interface AppStreamHost {
  readonly server: Server;
  /** Diagnostics channels hear of the exchanges. */
  readonly announced: boolean;
  /** Check header values although Node has done it, because this Node was told to be lenient. */
  readonly strictValues: boolean;
  readonly headerNames: Map<string, string>;
  readonly inactivity: DeadlineList;
  readonly unfinishedRequests: DeadlineList;
  now(): number;
  makeRequest(x: Exchange, head: RequestHead, socket: object): NodeRequest;
  makeResponse(req: NodeRequest): NodeResponse;
  /** Emits 'request', or what stands for it. */
  emitRequest(req: NodeRequest, res: NodeResponse, expect: string | null): void;
  onStreamEnd(): void;
}
