#!/usr/bin/env node
// Before anything else is loaded, since loading is what it is about.
import "./v8-flags.js";

void import("./command.js").then(({ main }) => main());
