import type { BackendConfig } from "../config/config.js";
import type { Random } from "../runtime/random.js";

/** Authorities that share a route's requests by weight. */
export class WeightedBackends {
  /** As written. */
  readonly list: readonly BackendConfig[];
  readonly #names: readonly string[];
  /** Where each one's part of the sum of the weights ends. */
  readonly #ends: readonly number[];
  readonly #total: number;

  /** At least one weight must be above zero. */
  constructor(list: readonly BackendConfig[]) {
    this.list = list;
    const live = list.filter(({ weight }) => weight > 0);
    this.#names = live.map(({ service }) => service);
    let total = 0;
    this.#ends = live.map(({ weight }) => {
      total += weight;
      return total;
    });
    this.#total = total;
  }

  /** The authority that gets the next request. */
  pick(random: Random): string {
    const last = this.#names.length - 1;
    if (last === 0) return this.#names[0]!;
    const at = random() * this.#total;
    let i = 0;
    while (i < last && at >= this.#ends[i]!) i++;
    return this.#names[i]!;
  }

  /** The share of the requests that one of the list gets. */
  shareOf({ weight }: BackendConfig): number {
    return weight / this.#total;
  }
}
