#!/usr/bin/env node
// Before anything else is loaded, since loading is what it is about.
import "./v8-flags.js";

// zod reads its settings here. By itself it compiles a function for each object that it checks, which is for nothing when one is checked once.
Object.assign(globalThis, { __zod_globalConfig: { jitless: true } });

void import("./command.js").then(({ main }) => main());
