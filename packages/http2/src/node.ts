export { createFetch } from "./node/client/create-fetch.js";
export { DispatchEntry, type DispatchOptions, dispatchDefaults } from "./node/client/dispatch-entry.js";
export type {
  CallbackHandler,
  ControllerHandler,
  DispatchController,
  DispatchHandler,
} from "./node/client/dispatch-handler.js";
export type { DispatchRequest } from "./node/client/dispatch-request.js";
export { type DispatcherLike, installGlobalDispatcher } from "./node/client/global-dispatcher.js";
export { ServiceAgent, type ServiceAgentOptions } from "./node/client/service-agent.js";
