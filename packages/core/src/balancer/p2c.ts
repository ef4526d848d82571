import type { Random } from "../runtime/random.js";
import type { Endpoint } from "./endpoint.js";

/**
 * The less loaded of two endpoints chosen at random (power of two choices): nearly as even as comparing all of them, at
 * a cost that does not depend on their number.
 *
 * `excluded` is avoided while there is another. Load counts relative to weight. On a tie the first sampled wins. `null`
 * when the list is empty.
 */
export function pickOfTwo(
  endpoints: readonly Endpoint[],
  excludedIndex: number,
  now: number,
  random: Random,
): Endpoint | null {
  const count = endpoints.length;
  if (count === 0) return null;
  if (count === 1) return endpoints[0]!;
  const excludes = excludedIndex >= 0 && excludedIndex < count;
  const choices = excludes ? count - 1 : count;
  let first = Math.floor(random() * choices);
  if (choices === 1) return endpoints[excludes && first >= excludedIndex ? first + 1 : first]!;
  let second = Math.floor(random() * (choices - 1));
  if (second >= first) second++;
  if (excludes) {
    if (first >= excludedIndex) first++;
    if (second >= excludedIndex) second++;
  }
  const a = endpoints[first]!;
  const b = endpoints[second]!;
  return b.load.load(now) * a.weight < a.load.load(now) * b.weight ? b : a;
}
