import { setFlagsFromString } from "node:v8";

/**
 * V8 for a process that starts once, and then does little for each of many requests, beside a program that wants the CPU too. To be imported
 * before anything else. What `NODE_OPTIONS` says to the contrary is overruled, but `--min-semi-space-size` isn't.
 */

// Garbage of requests dies young and needs no more than 1 MiB; a start that parses and validates makes V8 grow it to 8 MiB and
// more, which would be held for good.
setFlagsFromString("--semi-space-growth-factor=1");
// So little survives that one thread collects it in a third of a millisecond; waiting for others to be scheduled took up to ten.
setFlagsFromString("--no-parallel-scavenge");
setFlagsFromString("--no-concurrent-array-buffer-sweeping");
// What did not run from one collection of all garbage to the next is compiled again when it is called: half a MiB of what only a start
// needs. By default six collections have to pass, which takes a shim at rest for ever.
setFlagsFromString("--bytecode-old-age=1");
// What a start does it does once. Compiling it well is for nothing, and brings in the compiler: 4 MiB. Where Maglev is on by default it has to
// go along: what it compiles while there is nothing above it is never compiled again.
const compilers = Number.parseInt(process.versions.node, 10) >= 24 ? ["maglev", "opt"] : ["opt"];
for (const compiler of compilers) setFlagsFromString(`--no-${compiler}`);
setTimeout(() => {
  for (const compiler of compilers) setFlagsFromString(`--${compiler}`);
}, 1_000).unref();
