import { readFileSync } from "node:fs";
import { badIdentities } from "@selvage/tls-identity/testing";
import { expect, test } from "vitest";
import { admissionChecks, leafChecks } from "../../packages/tls-identity/src/verify.js";

const page = readFileSync(new URL("../../docs/identity.md", import.meta.url), "utf8");
const table = page.slice(page.indexOf("## What is verified"), page.indexOf("## When something is wrong"));

test("the table of what is verified names every reason for which a peer is refused", () => {
  const named = [...table.matchAll(/`([A-Za-z0-9_-]+)(…?)`/g)];
  const isNamed = (reason: string) =>
    named.some(([, name, open]) => (open === "…" ? reason.startsWith(name!) : reason === name));
  const reasons = [...leafChecks, ...admissionChecks, ...badIdentities].map(({ reason }) => reason);
  expect([...new Set(reasons)].filter((reason) => !isNamed(reason))).toEqual([]);
});
