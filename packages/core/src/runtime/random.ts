/** Where chance comes from: uniform in [0, 1). Injected everywhere, so that tests own it. Not for secrets. */
export type Random = () => number;

export const systemRandom: Random = Math.random;
