import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, it } from "vitest";
import { http1Defaults } from "../../packages/http2/src/h1/limits.js";
import { violations } from "../../packages/http2/src/h1/violation.js";
import { http2Defaults } from "../../packages/http2/src/h2/limits.js";
import { httpServerDefaults } from "../../packages/http2/src/server/http-server-options.js";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(resolve(root, path), "utf8");

interface Row {
  readonly attack: string;
  readonly limits: string;
  readonly reasons: string;
  readonly test: string;
}

const rows: readonly Row[] = read("docs/security.md")
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| Attack"))
  .map((line) => {
    const [, attack = "", , limits = "", reasons = "", test = ""] = line.split(" | ").join("|").split("|");
    return { attack: attack.trim(), limits, reasons, test: test.trim() };
  });

it("has a row for every line of attack", () => {
  expect(rows.length).toBeGreaterThan(40);
});

it.each(rows.map((row) => [row.attack, row] as const))("%s: its test exists", (_, row) => {
  const [, path = "", name = ""] = /^`([^`]+)`: ?(.*)$/.exec(row.test) ?? [];
  expect(existsSync(resolve(root, path)), row.test).toBe(true);
  expect(read(path)).toContain(name);
});

it("names limits that exist, with their defaults", () => {
  const defaults: Record<string, Record<string, unknown>> = {
    http1: { ...http1Defaults },
    http2: { ...http2Defaults },
    server: { ...httpServerDefaults },
  };
  const named = rows.flatMap((row) => [...row.limits.matchAll(/`(\w+)\.(\w+)` (\d+)/g)]);
  expect(named.length).toBeGreaterThan(25);
  for (const [, group, option, value] of named)
    expect([group, option, defaults[group!]?.[option!]]).toEqual([group, option, Number(value)]);
  expect(rows.flatMap((row) => row.limits.match(/`/g) ?? []).length).toBe(named.length * 2);
});

it("names reasons that exist, and all of HTTP/2's", () => {
  const http1 = Object.values(violations).map(({ reason }) => reason);
  const http2 = [
    ...read("packages/http2/src/h2/limits.ts")
      .split("export type Protection =")[1]!
      .split(";")[0]!
      .matchAll(/"([^"]+)"/g),
  ].map(([, reason]) => reason!);
  const server = read("packages/http2/src/server/acceptor.ts");
  const named = rows.flatMap((row) => [...row.reasons.matchAll(/`([^`]+)`/g)].map(([, reason]) => reason!));
  const unknown = named.filter(
    (reason) => !http1.includes(reason) && !http2.includes(reason) && !server.includes(`"${reason}"`),
  );
  expect(unknown).toEqual([]);
  expect(http2.filter((reason) => !named.includes(reason))).toEqual([]);
});
