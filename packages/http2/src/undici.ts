export type { ServiceDispatcherOptions } from "./node/client/service-dispatcher.js";
export { ServiceDispatcher } from "./node/client/service-dispatcher.js";
