import type { Random } from "../runtime/random.js";
import type { Endpoint } from "./endpoint.js";

/**
 * The less loaded of two endpoints chosen at random (power of two choices): nearly as even as comparing all of them, at
 * a cost that does not depend on their number.
 *
 * `avoided` are indexes in ascending order. Load counts relative to weight. On a tie the first sampled wins. `null` when all are
 * avoided, or the list is empty.
 */
export function pickOfTwo(
  endpoints: readonly Endpoint[],
  avoided: readonly number[] | null,
  now: number,
  random: Random,
): Endpoint | null {
  const choices = endpoints.length - (avoided === null ? 0 : avoided.length);
  if (choices <= 0) return null;
  if (choices === 1) return endpoints[avoided === null ? 0 : nth(0, avoided)]!;
  let first = Math.floor(random() * choices);
  let second = Math.floor(random() * (choices - 1));
  if (second >= first) second++;
  if (avoided !== null) {
    first = nth(first, avoided);
    second = nth(second, avoided);
  }
  const a = endpoints[first]!;
  const b = endpoints[second]!;
  return b.load.load(now) * a.weight < a.load.load(now) * b.weight ? b : a;
}

/** The index of the nth of those that aren't avoided. */
function nth(n: number, avoided: readonly number[]): number {
  let index = n;
  for (const at of avoided) if (at <= index) index++;
  return index;
}
