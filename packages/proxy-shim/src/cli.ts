#!/usr/bin/env node
// Before anything else is loaded, since loading is what it is about.
import "./young-generation.js";

void import("./command.js").then(({ main }) => main());
