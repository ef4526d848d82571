import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Case, cases } from "./cases.js";
import { type Cell, cells, meshed, type RunningCell, startCell } from "./cells.js";

/** Case by cell: what the report shows. */
const results = new Map<string, Map<string, string>>(cases.map((one) => [one.name, new Map()]));

function applies(one: Case, cell: Cell): boolean {
  switch (one.where ?? "all") {
    case "outbound":
      return cell.client !== "plain";
    case "inbound":
      return cell.server !== "plain";
    case "meshed":
      return meshed(cell);
    default:
      return true;
  }
}

for (const cell of cells) {
  describe(cell.name, () => {
    let running: RunningCell;
    beforeAll(async () => {
      running = await startCell(cell);
    });
    afterAll(() => running?.stop());

    for (const one of cases.filter((other) => applies(other, cell))) {
      const exception = one.except?.(cell) ?? null;
      if (exception !== null) {
        results.get(one.name)?.set(cell.name, exception);
        continue;
      }
      test(one.name, async () => {
        results.get(one.name)?.set(cell.name, "✗");
        await one.run(running, `${cases.indexOf(one)}`);
        results.get(one.name)?.set(cell.name, "✓");
      });
    }
  });
}

describe("the table", () => {
  test("has no hole in the meshed cells", () => {
    const holes = cases.flatMap((one) =>
      cells
        .filter((cell) => meshed(cell) && results.get(one.name)?.get(cell.name) !== "✓")
        .filter((cell) => one.except?.(cell) == null)
        .map((cell) => `${one.name}: ${cell.name}`),
    );
    expect(holes).toEqual([]);
  });
});

afterAll(() => {
  const notes: string[] = [];
  const mark = (value: string | undefined): string => {
    if (value === undefined) return "·";
    if (value === "✓" || value === "✗") return value;
    if (!notes.includes(value)) notes.push(value);
    return `(${notes.indexOf(value) + 1})`;
  };
  const rows = cases.map(
    (one) => `| ${one.name} | ${cells.map((cell) => mark(results.get(one.name)?.get(cell.name))).join(" | ")} |`,
  );
  const report = [
    `# Conformance, Node ${process.version}`,
    "",
    "✓ as it should be, ✗ not, · does not apply to this pair.",
    ...notes.map((note, i) => `(${i + 1}) ${note}`),
    "",
    `| case | ${cells.map((cell) => cell.name).join(" | ")} |`,
    `|---|${cells.map(() => ":-:").join("|")}|`,
    ...rows,
    "",
  ].join("\n");
  const directory = resolve(import.meta.dirname, "../../test-results");
  mkdirSync(directory, { recursive: true });
  writeFileSync(resolve(directory, "conformance.md"), report);
});
