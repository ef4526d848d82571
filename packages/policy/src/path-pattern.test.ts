import { describe, expect, test } from "vitest";
import { matchesPath, type PathPattern, parsePathPattern } from "./path-pattern.js";

function pattern(text: string): PathPattern {
  const parsed = parsePathPattern(text);
  if ("problem" in parsed) throw new Error(`${text} ${parsed.problem}`);
  return parsed;
}

describe("path patterns", () => {
  test.each([
    ["/a/b", "/a/b", true],
    ["/a/b", "/a/b/", false],
    ["/a/b", "/a/B", false],
    ["/a/*", "/a", true],
    ["/a/*", "/a/", true],
    ["/a/*", "/a/b/c", true],
    ["/a/*", "/ab", false],
    ["/a/*", "/", false],
    ["/*", "/", true],
    ["/*", "/a/b", true],
    ["/*", "*", false],
    ["/*", "", false],
    ["/", "/", true],
    ["/", "/a", false],
  ])("%s on %j: %s", (text, path, matches) => {
    expect(matchesPath(pattern(text), path)).toBe(matches);
  });

  test.each([
    ["a", "must start"],
    ["*", "must start"],
    ["/a*", "last segment"],
    ["/*/b", "last segment"],
    ["/a/**", "last segment"],
    ["/users/:id", "parameters"],
    ["/users/{id}", "parameters"],
    ["/a?b", "query"],
    ["/a//b", "ambiguous"],
    ["/a/../b", "ambiguous"],
    ["/%61/*", "normal form"],
  ])("refuses %s", (text, problem) => {
    expect(parsePathPattern(text)).toMatchObject({ problem: expect.stringContaining(problem) });
  });

  test("says the normal form to write", () => {
    expect(parsePathPattern("/%61/*")).toMatchObject({ remedy: 'write "/a/*"' });
  });
});
