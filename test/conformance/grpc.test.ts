import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grpcCases } from "./grpc-cases.js";
import { grpcCells, type RunningGrpcCell, startGrpcCell } from "./grpc-cells.js";

/** Case by cell: what was seen, and whether it was right. */
const seen = new Map<string, Map<string, { readonly outcome: string; readonly right: boolean }>>(
  grpcCases.map((one) => [one.name, new Map()]),
);

for (const cell of grpcCells) {
  describe(`gRPC ${cell.name}`, () => {
    let running: RunningGrpcCell;
    beforeAll(async () => {
      running = await startGrpcCell(cell);
    });
    afterAll(() => running?.stop());

    for (const [i, one] of grpcCases.entries()) {
      test(one.name, async () => {
        const outcome = await one.run(running, `${i}`);
        // Ports differ from cell to cell.
        const text = JSON.stringify(outcome)?.replace(/127\.0\.0\.1:\d{2,}/g, "127.0.0.1:PORT");
        seen.get(one.name)?.set(cell.name, { outcome: text, right: false });
        expect(outcome).toEqual(one.outcome);
        seen.get(one.name)?.set(cell.name, { outcome: text, right: true });
      });
    }
  });
}

describe("gRPC", () => {
  test.each(grpcCases.map(({ name }) => name))("all cells see the same: %s", (name) => {
    const outcomes = grpcCells.map((cell) => seen.get(name)?.get(cell.name)?.outcome);
    expect(outcomes).toEqual(grpcCells.map(() => outcomes[0]));
    expect(outcomes[0]).toBeDefined();
  });
});

afterAll(() => {
  const mark = (name: string, cell: string) => (seen.get(name)?.get(cell)?.right ? "✓" : "✗");
  const report = [
    `# Conformance of gRPC, Node ${process.version}`,
    "",
    "An unmodified grpc-js client calls an unmodified grpc-js server. ✓ as it should be, and the same in all cells; ✗ not.",
    "",
    `| case | ${grpcCells.map((cell) => cell.name).join(" | ")} |`,
    `|---|${grpcCells.map(() => ":-:").join("|")}|`,
    ...grpcCases.map(({ name }) => `| ${name} | ${grpcCells.map((cell) => mark(name, cell.name)).join(" | ")} |`),
    "",
  ].join("\n");
  const directory = resolve(import.meta.dirname, "../../test-results");
  mkdirSync(directory, { recursive: true });
  writeFileSync(resolve(directory, "conformance-grpc.md"), report);
});
