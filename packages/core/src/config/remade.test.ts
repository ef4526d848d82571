import { expect, test } from "vitest";
import { remade } from "./remade.js";

test("what is made is made when it is asked for, and once while it is held", () => {
  let times = 0;
  const made = remade(() => ({ times: ++times }));
  expect(times).toBe(0);
  const held = made();
  expect(made()).toBe(held);
  expect(times).toBe(1);
});
