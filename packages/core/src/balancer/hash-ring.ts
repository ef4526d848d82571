import type { Endpoint } from "./endpoint.js";
import { hashText, scatter } from "./hash-key.js";

/** Of an endpoint of the greatest weight. */
const pointsPerEndpoint = 16;
/**
 * Places at which a key looks for its point, the nearest of which counts (multi-probe consistent hashing, Appleton and
 * O'Reilly): shares are right to about a tenth, as with one place and six times the points.
 */
const probes = 4;
const golden = 0x9e3779b9;
/** How many endpoints are looked at before a search is given up: its cost must not depend on how many are ejected. */
const maxSteps = 64;
/** Nobody is overloaded by so few exchanges: below this nobody is passed over. */
const alwaysTaken = 8;

/**
 * Consistent hashing: each endpoint has points on a ring of 2³² places, and a key belongs to the endpoint of the next
 * point. Points depend on nothing but the endpoint's address and its weight relative to the greatest, so that every
 * process has the same ring, and an endpoint that comes or goes moves its own share of keys and no other.
 *
 * An endpoint with more than its share in flight is passed over for the key's next one (consistent hashing with bounded
 * loads, Mirrokni et al.), so that a key that everybody asks for does not drown who owns it. Next ones are at other places
 * for each key, so that what an endpoint can't take is spread over all.
 */
export class HashRing {
  readonly #members: readonly Endpoint[];
  readonly #meanWeight: number;
  /** By member: which part of the keys that meet its points it takes, of 2³². What is left over of whole points. */
  readonly #takes: Float64Array;
  readonly #maxLoad: number;
  /** Points in order, and whose they are. */
  readonly #points: Uint32Array;
  readonly #owners: Uint32Array;
  /** By the first bits of a hash: its first point. Points are uniform, so that a search ends after about one. */
  readonly #starts: Uint32Array;
  readonly #shift: number;

  /** `members`: those with a weight, one at least. */
  constructor(members: readonly Endpoint[], maxLoad: number) {
    let greatest = 0;
    let sum = 0;
    for (const { weight } of members) {
      greatest = Math.max(greatest, weight);
      sum += weight;
    }
    const exact = Float64Array.from(members, ({ weight }) => (pointsPerEndpoint * weight) / greatest);
    const counts = Uint32Array.from(exact, Math.ceil);
    this.#takes = exact.map((count, i) => (count / counts[i]!) * 2 ** 32);
    const size = counts.reduce((total, count) => total + count, 0);
    const bits = Math.max(1, Math.ceil(Math.log2(size + 1)));
    this.#members = members;
    this.#meanWeight = sum / members.length;
    this.#maxLoad = maxLoad;
    this.#shift = 32 - bits;
    this.#starts = new Uint32Array(2 ** bits + 1);
    this.#points = new Uint32Array(size);
    this.#owners = new Uint32Array(size);
    this.#fill(counts, size);
  }

  /**
   * The endpoint that a hash belongs to: ready (or any, with `all`), not `excluded`, and not overloaded. `inFlight` is that of
   * all endpoints, `choices` how many are ready. `null`: there is none near.
   */
  find(hash: number, excluded: Endpoint | null, all: boolean, inFlight: number, choices: number): Endpoint | null {
    const perWeight = (this.#maxLoad * (inFlight + 1)) / (choices * this.#meanWeight);
    let at = this.#nearest(hash);
    for (let step = 0; step < maxSteps; step++) {
      if (this.#takesKey(at, hash)) {
        const endpoint = this.#members[this.#owners[at]!]!;
        const may = (all || endpoint.readyIndex >= 0) && endpoint !== excluded;
        if (may && (endpoint.inFlight < alwaysTaken || endpoint.inFlight < perWeight * endpoint.weight))
          return endpoint;
      }
      at = this.#after(scatter(hash + Math.imul(probes + step, golden)));
    }
    return null;
  }

  /** The point that a key has first. */
  #nearest(hash: number): number {
    let nearest = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < probes; i++) {
      const place = i === 0 ? hash : scatter(hash + Math.imul(i, golden));
      const at = this.#after(place);
      const distance = (this.#points[at]! - place) >>> 0;
      if (distance < least) {
        least = distance;
        nearest = at;
      }
    }
    return nearest;
  }

  #after(place: number): number {
    const points = this.#points;
    let at = this.#starts[place >>> this.#shift]!;
    while (at < points.length && points[at]! < place) at++;
    return at === points.length ? 0 : at;
  }

  #takesKey(at: number, hash: number): boolean {
    const takes = this.#takes[this.#owners[at]!]!;
    return takes >= 2 ** 32 || scatter(hash ^ this.#points[at]!) < takes;
  }

  /** Sorts points into as many places as there are points, and what shares a place by comparing. */
  #fill(counts: Uint32Array, size: number): void {
    const unsorted = new Uint32Array(size);
    const seeds = new Uint32Array(counts.length);
    const starts = this.#starts;
    const shift = this.#shift;
    let next = 0;
    for (let owner = 0; owner < counts.length; owner++) {
      const { key } = this.#members[owner]!;
      const seed = hashText(key, 0, key.length);
      // A stride of its own: else two endpoints could have the same points, one step apart.
      const stride = scatter(seed ^ golden) | 1;
      seeds[owner] = seed;
      for (let i = 0; i < counts[owner]!; i++) {
        const point = scatter(seed + Math.imul(i, stride));
        unsorted[next++] = point;
        starts[(point >>> shift) + 1]!++;
      }
    }
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const ends = starts.slice();
    next = 0;
    for (let owner = 0; owner < counts.length; owner++) {
      for (let i = 0; i < counts[owner]!; i++) {
        const point = unsorted[next++]!;
        const place = point >>> shift;
        this.#insert(point, owner, seeds, starts[place]!, ends[place]!++);
      }
    }
  }

  #insert(point: number, owner: number, seeds: Uint32Array, first: number, end: number): void {
    const points = this.#points;
    const owners = this.#owners;
    let at = end;
    // Points that coincide are in an order that doesn't depend on that of the endpoints.
    while (
      at > first &&
      (points[at - 1]! > point || (points[at - 1] === point && seeds[owners[at - 1]!]! > seeds[owner]!))
    ) {
      points[at] = points[at - 1]!;
      owners[at] = owners[at - 1]!;
      at--;
    }
    points[at] = point;
    owners[at] = owner;
  }
}
