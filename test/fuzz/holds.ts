import fc from "fast-check";

/** For how long each property is tried. More finds more: `FUZZ_SECONDS=600 npm run fuzz`. */
export const secondsEach = Number(process.env["FUZZ_SECONDS"] ?? 5);

/** Tries a property until the time is up or it fails, and says how often it was tried. */
export async function holds<T>(
  name: string,
  property: fc.IProperty<T> | fc.IAsyncProperty<T>,
  seconds = secondsEach,
): Promise<void> {
  const details = await fc.check(property as fc.IAsyncProperty<T>, {
    interruptAfterTimeLimit: seconds * 1_000,
    markInterruptAsFailure: false,
    numRuns: 100_000_000,
  });
  process.stdout.write(`${name}: ${details.numRuns} runs\n`);
  if (details.failed) throw new Error(await fc.asyncDefaultReportMessage(details));
}
