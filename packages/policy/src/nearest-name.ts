/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost 1 each. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, beforeLast[j - 2]! + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** Names longer than this are nobody's typing error, and comparing them costs. */
const maxLength = 100;

/**
 * The known name that somebody most likely meant, or `null` when none is near: at most a third of the longer name may
 * differ. Case, `-` and `_` count for nothing.
 */
export function nearestName(name: string, known: Iterable<string>): string | null {
  if (name.length > maxLength) return null;
  const wanted = plain(name);
  let nearest: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const other = plain(candidate);
    const far = distance(wanted, other);
    if (far < least && far <= Math.ceil((Math.max(wanted.length, other.length) - 1) / 3)) {
      nearest = candidate;
      least = far;
    }
  }
  return nearest;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll("-", "").replaceAll("_", "");
}
