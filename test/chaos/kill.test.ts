import { afterEach, describe, expect, test } from "vitest";
import { cellNames, MeshedCell } from "./meshed-cell.js";
import { record, seen } from "./results.js";
import { protocols } from "./senders.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

describe.each(protocols)("kill -9, %s", (protocol) => {
  test.each(cellNames)(
    "safe requests don't notice, and nothing is processed twice that may not be, %s",
    async (name) => {
      cell = await MeshedCell.start(name);
      const [first] = await cell.start(3, { protocol });
      const caller = await cell.caller({ protocol });
      const perSecond = await caller.calmRate(500);
      setTimeout(() => first!.signal("SIGKILL"), 1_500);
      const report = await caller.drive(perSecond, 5);
      const result = seen(report, cell.processedTwice());
      record(`kill -9, ${protocol}, ${name}`, {
        offered: `${perSecond}/s for 5 s, half of them POST (gRPC: streams); one of 3 replicas killed`,
        ...result,
      });
      // No gRPC call says that it is safe.
      if (protocol !== "grpc") expect(result.failedGets).toBe(0);
      expect(result.processedTwice).toBe(0);
      // What was on its way to the one that died can't be known to have had no effect.
      expect(report.failed).toBeLessThan(20);
    },
  );
});
