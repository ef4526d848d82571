import { describe, expect, test } from "vitest";
import { nearestName } from "./nearest-name.js";

describe("nearestName", () => {
  const known = ["timeout", "connectTimeout", "retry", "routes", "from"];

  test.each([
    ["timout", "timeout"],
    ["tiemout", "timeout"],
    ["connect_timeout", "connectTimeout"],
    ["rerty", "retry"],
    ["form", "from"],
    ["ROUTES", "routes"],
    ["balancer", null],
    ["x", null],
    ["", null],
    ["timeout".repeat(50), null],
  ])("%s: %s", (name, nearest) => {
    expect(nearestName(name, known)).toBe(nearest);
  });
});
