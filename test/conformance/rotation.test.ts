import { expect, test } from "vitest";
import { cells, meshed, startCell } from "./cells.js";

/**
 * Both ends have SVIDs of a few seconds, and rotate several times while requests go on. Their connections end with them, so
 * each rotation is a hand-over from one connection to the next.
 */
const lifetime = "4s";
const durationMs = 9_000;

test("not one request fails while both ends rotate their identities", { timeout: 60_000 }, async () => {
  const found = await Promise.all(
    cells
      .filter((cell) => meshed(cell) && cell.protocol === "HTTP/1.1")
      .map(async (cell) => {
        const running = await startCell(cell, { lifetime });
        const outcomes = new Map<string, number>();
        const until = Date.now() + durationMs;
        const one = async (): Promise<void> => {
          while (Date.now() < until) {
            const { status, headers } = await running.client.send({ path: "/bytes?n=100" });
            const outcome = `${status} ${headers["l5d-proxy-error"] ?? ""}`.trim();
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        };
        await Promise.all(Array.from({ length: 4 }, one));
        await running.stop();
        return {
          cell: cell.name,
          failures: [...outcomes].filter(([outcome]) => outcome !== "200"),
          served: outcomes.get("200") ?? 0,
        };
      }),
  );
  expect(found.flatMap(({ cell, failures }) => failures.map((failure) => `${cell}: ${failure.join(" × ")}`))).toEqual(
    [],
  );
  for (const { served } of found) expect(served).toBeGreaterThan(100);
});
