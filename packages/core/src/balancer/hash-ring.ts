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
  /** By member: what its points are made from, and how many it has. */
  readonly #seeds: Uint32Array;
  readonly #counts: Uint32Array;
  /** By member: which part of the keys that meet its points it takes, of 2³². What is left over of whole points. */
  readonly #takes: Float64Array;
  readonly #maxLoad: number;
  /** Points in order, and whose they are. */
  readonly #points: Uint32Array;
  readonly #owners: Uint32Array;
  /** By the first bits of a hash: its first point. Points are uniform, so that a search ends after about one. */
  readonly #starts: Uint32Array;
  readonly #shift: number;

  /**
   * `members`: those with a weight, one at least, each at its `eligibleIndex`. `former`: the ring before this one, whose points
   * of endpoints that stay are taken as they are, so that a change costs a walk along the ring and no hashing or sorting of it.
   */
  constructor(members: readonly Endpoint[], maxLoad: number, former: HashRing | null = null) {
    let greatest = 0;
    let sum = 0;
    for (const { weight } of members) {
      greatest = Math.max(greatest, weight);
      sum += weight;
    }
    const counts = new Uint32Array(members.length);
    const takes = new Float64Array(members.length);
    let size = 0;
    for (let i = 0; i < members.length; i++) {
      const exact = (pointsPerEndpoint * members[i]!.weight) / greatest;
      const count = Math.ceil(exact);
      counts[i] = count;
      takes[i] = (exact / count) * 2 ** 32;
      size += count;
    }
    this.#members = members;
    this.#meanWeight = sum / members.length;
    this.#maxLoad = maxLoad;
    this.#counts = counts;
    this.#takes = takes;
    this.#seeds = new Uint32Array(members.length);
    const bits = Math.max(1, Math.ceil(Math.log2(size + 1)));
    this.#shift = 32 - bits;
    const places = former === null ? new Int32Array() : this.#placesOf(former);
    const [points, owners] = sorted(...this.#newPoints(places, size));
    this.#orderEqual(points, owners);
    if (points.length === size) {
      this.#points = points;
      this.#owners = owners;
    } else {
      this.#points = new Uint32Array(size);
      this.#owners = new Uint32Array(size);
      this.#merge(former!, places, points, owners);
    }
    this.#starts = startsOf(this.#points, bits);
  }

  /**
   * The endpoint that a hash belongs to: ready (or any, with `all`), not among the `avoided`, and not overloaded. `inFlight` is that of
   * all endpoints, `choices` how many are ready. `null`: there is none near.
   */
  find(
    hash: number,
    avoided: readonly Endpoint[] | null,
    all: boolean,
    inFlight: number,
    choices: number,
  ): Endpoint | null {
    const perWeight = (this.#maxLoad * (inFlight + 1)) / (choices * this.#meanWeight);
    let at = this.#nearest(hash);
    for (let step = 0; step < maxSteps; step++) {
      if (this.#takesKey(at, hash)) {
        const endpoint = this.#members[this.#owners[at]!]!;
        const may = (all || endpoint.readyIndex >= 0) && avoided?.includes(endpoint) !== true;
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

  /** By member of the former ring: which of this one's members has its points, -1 for none. */
  #placesOf(former: HashRing): Int32Array {
    const places = new Int32Array(former.#members.length);
    for (let i = 0; i < places.length; i++) {
      const endpoint = former.#members[i]!;
      const at = endpoint.eligibleIndex;
      // How many points it has depends on the weights of others, too; which they are does not.
      const stays = at >= 0 && this.#members[at] === endpoint && this.#counts[at] === former.#counts[i];
      places[i] = stays ? at : -1;
      if (stays) this.#seeds[at] = former.#seeds[i]!;
    }
    return places;
  }

  /** Of the members that have no points yet, in no order. */
  #newPoints(places: Int32Array, size: number): [Uint32Array, Uint32Array] {
    const known = new Uint8Array(this.#members.length);
    let left = size;
    for (const at of places) {
      if (at < 0) continue;
      known[at] = 1;
      left -= this.#counts[at]!;
    }
    const points = new Uint32Array(left);
    const owners = new Uint32Array(left);
    let next = 0;
    for (let owner = 0; owner < known.length; owner++) {
      if (known[owner] === 1) continue;
      const { key } = this.#members[owner]!;
      const seed = hashText(key, 0, key.length);
      this.#seeds[owner] = seed;
      // A stride of its own: else two endpoints could have the same points, one step apart.
      const stride = scatter(seed ^ golden) | 1;
      for (let i = 0; i < this.#counts[owner]!; i++) {
        points[next] = scatter(seed + Math.imul(i, stride));
        owners[next++] = owner;
      }
    }
    return [points, owners];
  }

  /** Points that coincide are in an order that doesn't depend on that of the endpoints. */
  #orderEqual(points: Uint32Array, owners: Uint32Array): void {
    for (let i = 1; i < points.length; i++) {
      const owner = owners[i]!;
      let at = i;
      for (; at > 0 && points[at - 1] === points[i] && this.#isBefore(owner, owners[at - 1]!); at--) {
        owners[at] = owners[at - 1]!;
      }
      owners[at] = owner;
    }
  }

  #isBefore(owner: number, other: number): boolean {
    const a = this.#seeds[owner]!;
    const b = this.#seeds[other]!;
    return a === b ? this.#members[owner]!.key < this.#members[other]!.key : a < b;
  }

  #merge(former: HashRing, places: Int32Array, points: Uint32Array, owners: Uint32Array): void {
    const oldPoints = former.#points;
    const oldOwners = former.#owners;
    let at = 0;
    let next = 0;
    for (let i = 0; i < oldPoints.length; i++) {
      const owner = places[oldOwners[i]!]!;
      if (owner < 0) continue;
      const point = oldPoints[i]!;
      while (
        next < points.length &&
        (points[next]! < point || (points[next] === point && this.#isBefore(owners[next]!, owner)))
      ) {
        this.#points[at] = points[next]!;
        this.#owners[at++] = owners[next++]!;
      }
      this.#points[at] = point;
      this.#owners[at++] = owner;
    }
    this.#points.set(points.subarray(next), at);
    this.#owners.set(owners.subarray(next), at);
  }
}

/** Points in order, each with its owner: by their last 11 bits, the next 11, and the rest. */
function sorted(points: Uint32Array, owners: Uint32Array): [Uint32Array, Uint32Array] {
  let from: [Uint32Array, Uint32Array] = [points, owners];
  let to: [Uint32Array, Uint32Array] = [new Uint32Array(points.length), new Uint32Array(points.length)];
  const ends = new Uint32Array(2 ** 11 + 1);
  for (let shift = 0; shift < 32; shift += 11) {
    const [unsorted, unsortedOwners] = from;
    const [next, nextOwners] = to;
    ends.fill(0);
    for (let i = 0; i < unsorted.length; i++) ends[((unsorted[i]! >>> shift) & 0x7ff) + 1]!++;
    for (let i = 1; i < ends.length; i++) ends[i]! += ends[i - 1]!;
    for (let i = 0; i < unsorted.length; i++) {
      const point = unsorted[i]!;
      const at = ends[(point >>> shift) & 0x7ff]!++;
      next[at] = point;
      nextOwners[at] = unsortedOwners[i]!;
    }
    [from, to] = [to, from];
  }
  return from;
}

function startsOf(points: Uint32Array, bits: number): Uint32Array {
  const starts = new Uint32Array(2 ** bits);
  let at = 0;
  for (let place = 0; place < starts.length; place++) {
    while (at < points.length && points[at]! >>> (32 - bits) < place) at++;
    starts[place] = at;
  }
  return starts;
}
