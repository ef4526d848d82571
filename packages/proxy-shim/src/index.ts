export { type RunOptions, run } from "./run.js";
export { type Shim, type ShimOptions, startShim } from "./shim.js";
