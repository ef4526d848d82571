#!/usr/bin/env node
// Before anything else is loaded, since loading is what it is about.
import "./young-generation.js";

const { main } = await import("./command.js");
await main();
