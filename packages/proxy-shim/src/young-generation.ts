import { setFlagsFromString } from "node:v8";

/**
 * Keeps V8's young generation at its first size of 1 MiB. Garbage of requests dies young and needs no more; a start that parses
 * and validates makes V8 grow it to 8 MiB and more, which a process that is there for one program would hold for good. To be
 * imported before anything else. `NODE_OPTIONS=--semi-space-growth-factor=2` is overruled, `--min-semi-space-size` isn't.
 */
setFlagsFromString("--semi-space-growth-factor=1");
