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
export { AppExit } from "./node/server/app-exit.js";
export { type AppExitOptions, appExitDefaults } from "./node/server/app-exit-options.js";
export { exchangeOf } from "./node/server/exchange-of.js";
export { type SeamCheck, type SeamReport, seamReport } from "./node/server/probe.js";
export { handOver, type TakeOverHooks, takeOver } from "./node/server/take-over.js";
