import type { Exchange, ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import type { FailureAccrualConfig, HashConfig, QueueConfig } from "../config/config.js";
import { meshError } from "../errors.js";
import { FailureAccrual, failureAccrualDefaults } from "../resilience/failure-accrual.js";
import { endpointKey, sameEndpoint } from "../resolver/endpoint-address.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import type { Clock } from "../runtime/clock.js";
import type { Random } from "../runtime/random.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import { Endpoint, type EndpointFactory, type EndpointTransport, InFlight } from "./endpoint.js";
import { HashKey, noKey } from "./hash-key.js";
import { HashRing } from "./hash-ring.js";
import { pickOfTwo } from "./p2c.js";
import { PeakEwma, type PeakEwmaConfig, peakEwmaDefaults } from "./peak-ewma.js";
import { type Dispatcher, Waiter, WaitQueue } from "./wait-queue.js";

export interface BalancingConfig {
  readonly queue: QueueConfig;
  /**
   * Ejections are ignored while more than this share of endpoints is ejected: if nearly everything seems broken, then
   * what they have in common is, and the rest should not be drowned. 1: never ignored (as Linkerd).
   */
  readonly panicRatio: number;
  /** The zone whose endpoints are preferred; `null`: none. */
  readonly zone: string | null;
  readonly ewma: PeakEwmaConfig;
  readonly accrual: FailureAccrualConfig;
  /** Endpoints are chosen by a key of the request, whatever their zone; `null`: by load. */
  readonly hash: HashConfig | null;
}

/** Linkerd's numbers, but for `panicRatio`: Envoy's idea, with a number by which one good endpoint of three suffices. */
export const balancingDefaults: BalancingConfig = Object.freeze({
  queue: Object.freeze({ capacity: 10_000, failFastMs: 3_000 }),
  panicRatio: 0.7,
  zone: null,
  ewma: peakEwmaDefaults,
  accrual: failureAccrualDefaults,
  hash: null,
});

/**
 * How much more loaded an endpoint of the own zone may be than one of another: the price of leaving the zone. Load is latency
 * times exchanges in flight, so that up to about this many at a time stay with each endpoint that is as quick as others.
 */
const farFactor = 5;

export interface BalancerParts {
  readonly authority: string;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly factory: EndpointFactory;
  /** Puts an endpoint's own layers around its transport. */
  readonly wrap: (endpoint: Endpoint, transport: EndpointTransport) => Service;
}

/** Knows the endpoints of one authority, picks one for each attempt, and keeps exchanges while none is ready. */
export class Balancer implements TimerOwner {
  readonly config: BalancingConfig;
  readonly #parts: BalancerParts;
  /** All, by key: slowly changing, never touched by a request. */
  #endpoints = new Map<string, Endpoint>();
  /** Updates so far. */
  #round = 0;
  /** Those with a weight. */
  readonly #eligible: Endpoint[] = [];
  /** Those of them that are not ejected, and are in the own zone or in none that is known. */
  readonly #near: Endpoint[] = [];
  /** The others that are not ejected. */
  readonly #far: Endpoint[] = [];
  readonly #inFlight = new InFlight();
  readonly #hashKey: HashKey | null;
  #ring: HashRing | null = null;
  readonly #queue = new WaitQueue();
  readonly #failFastTimer = new WheelTimer(this);
  #failFast = false;
  #resolved = false;
  #failure: Error | null = null;
  #closed = false;

  constructor(parts: BalancerParts, config: BalancingConfig = balancingDefaults) {
    this.#parts = parts;
    this.config = config;
    this.#hashKey = config.hash === null ? null : new HashKey(config.hash);
  }

  get endpoints(): Iterable<Endpoint> {
    return this.#endpoints.values();
  }

  get size(): number {
    return this.#endpoints.size;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get failingFast(): boolean {
    return this.#failFast;
  }

  /** More than `panicRatio` of the endpoints are ejected, and this is ignored. */
  get panicking(): boolean {
    const eligible = this.#eligible.length;
    return eligible - this.#near.length - this.#far.length > eligible * this.config.panicRatio;
  }

  /** How many endpoints an attempt may go to. */
  get choices(): number {
    return this.panicking ? this.#eligible.length : this.#near.length + this.#far.length;
  }

  /** Whether an attempt could go to another endpoint than these. */
  hasOther(endpoints: readonly Endpoint[]): boolean {
    const { panicking } = this;
    let others = this.choices;
    for (const { eligibleIndex, readyIndex } of endpoints) if ((panicking ? eligibleIndex : readyIndex) >= 0) others--;
    return others > 0;
  }

  /** For an attempt of a request: by its key where there is one, else by load. `null` when no endpoint is ready. */
  pickFor(headers: HeaderList, tried: readonly Endpoint[] | null, now: number): Endpoint | null {
    const found = this.#ring === null ? null : this.ownerOf(headers, tried);
    return found === null ? this.pick(tried, now) : found;
  }

  /** The endpoint that a request belongs to by its key; `null` when it has none, or nobody is near who could take it. */
  ownerOf(headers: HeaderList, tried: readonly Endpoint[] | null = null): Endpoint | null {
    const hash = this.#ring === null ? noKey : this.#hashKey!.of(headers);
    if (hash === noKey) return null;
    const avoided = tried === null ? null : this.#avoided(tried);
    return this.#ring!.find(hash, avoided, this.panicking, this.#inFlight.count, this.choices);
  }

  /**
   * An endpoint for an attempt, by load; `null` when none is ready. At most four are looked at, however many there are.
   * Where the request has been is avoided while there is another, and what it tried last the longest.
   */
  pick(tried: readonly Endpoint[] | null, now: number): Endpoint | null {
    const { random } = this.#parts;
    const avoided = tried === null ? null : this.#avoided(tried);
    if (this.panicking) return pickOfTwo(this.#eligible, indexesIn(this.#eligible, avoided, true), now, random);
    const near = pickOfTwo(this.#near, indexesIn(this.#near, avoided, false), now, random);
    if (this.#far.length === 0) return near;
    const far = pickOfTwo(this.#far, indexesIn(this.#far, avoided, false), now, random);
    if (near === null || far === null) return near ?? far;
    return far.load.load(now) * farFactor * near.weight < near.load.load(now) * far.weight ? far : near;
  }

  /** Keeps an exchange until an endpoint is ready; fails it when that takes too long, or too many wait. */
  wait(x: Exchange, sink: Sink, dispatcher: Dispatcher): void {
    if (this.#closed) {
      sink.onError(meshError("SELVAGE_ERR_DRAINING", `${this.#parts.authority} is not used any more`));
      return;
    }
    if (this.#failFast) {
      sink.onError(this.#nothingReady());
      return;
    }
    if (this.#queue.size >= this.config.queue.capacity) {
      const text = `${this.#queue.size} exchanges wait for an endpoint of ${this.#parts.authority} already`;
      sink.onError(meshError("SELVAGE_ERR_SHED", text));
      return;
    }
    if (this.#queue.size === 0) {
      this.#parts.wheel.set(this.#failFastTimer, this.#parts.clock.now() + this.config.queue.failFastMs);
    }
    this.#queue.push(new Waiter(x, sink, dispatcher, this.#queue));
  }

  /** Takes the set as it is now. Endpoints that are in it already are left as they are, with what is known of them. */
  update(addresses: readonly EndpointAddress[]): void {
    if (this.#closed) return;
    this.#resolved = true;
    this.#failure = null;
    const round = ++this.#round;
    let changed = false;
    let present = 0;
    for (const address of addresses) {
      const key = endpointKey(address);
      const known = this.#endpoints.get(key);
      if (known?.round === round) continue;
      let endpoint = known;
      if (endpoint !== undefined && sameEndpoint(endpoint.address, address)) {
        endpoint.address = address;
        const weight = address.weight ?? 1;
        if (endpoint.weight !== weight) changed = true;
        endpoint.weight = weight;
        const far = this.#isFar(address);
        if (far !== endpoint.far) this.#leaveReady(endpoint);
        endpoint.far = far;
      } else {
        endpoint = this.#create(key, address);
        this.#endpoints.set(key, endpoint);
        if (known !== undefined) this.#remove(known);
        changed = true;
      }
      endpoint.round = round;
      present++;
      this.#place(endpoint);
    }
    if (present < this.#endpoints.size) {
      changed = true;
      for (const [key, endpoint] of this.#endpoints) {
        if (endpoint.round === round) continue;
        this.#endpoints.delete(key);
        this.#remove(endpoint);
      }
    }
    if (changed && this.config.hash !== null) {
      this.#ring =
        this.#eligible.length === 0 ? null : new HashRing([...this.#eligible], this.config.hash.maxLoad, this.#ring);
    }
    this.#becameReady();
  }

  /** Discovery failed: said in errors for as long as there is no endpoint. */
  resolverFailed(error: Error): void {
    this.#failure = error;
  }

  /** Fails what waits and lets all endpoints go. What is in flight may finish. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts.wheel.cancel(this.#failFastTimer);
    for (const endpoint of this.#endpoints.values()) this.#remove(endpoint);
    this.#endpoints = new Map();
    const text = `${this.#parts.authority} is not used any more`;
    this.#queue.fail(() => meshError("SELVAGE_ERR_DRAINING", text));
  }

  /** Nothing became ready in time: from now on nobody waits, until something does. */
  onTimer(): void {
    if (this.#queue.size === 0) return;
    this.#failFast = true;
    this.#queue.fail(() => this.#nothingReady());
  }

  /** For endpoints whose state changed. */
  placed(endpoint: Endpoint): void {
    if (this.#endpoints.get(endpoint.key) !== endpoint) return;
    this.#place(endpoint);
    this.#becameReady();
  }

  #create(key: string, address: EndpointAddress): Endpoint {
    const { clock, wheel, random, factory, wrap } = this.#parts;
    const transport = factory.create(address);
    const endpoint = new Endpoint(key, address, transport, new PeakEwma(clock.now(), this.config.ewma), this.#inFlight);
    const listener = { accrualChanged: () => this.placed(endpoint) };
    endpoint.accrual = new FailureAccrual(this.config.accrual, clock, wheel, random, listener);
    endpoint.service = wrap(endpoint, transport);
    endpoint.far = this.#isFar(address);
    return endpoint;
  }

  #remove(endpoint: Endpoint): void {
    endpoint.accrual.close();
    this.#leaveReady(endpoint);
    leaveEligible(this.#eligible, endpoint);
    endpoint.transport.close();
  }

  /** Without what was tried first, as far as nobody else is left. */
  #avoided(tried: readonly Endpoint[]): readonly Endpoint[] | null {
    for (let from = 0; from < tried.length; from++) {
      const avoided = from === 0 ? tried : tried.slice(from);
      if (this.hasOther(avoided)) return avoided;
    }
    return null;
  }

  #isFar({ zone = "" }: EndpointAddress): boolean {
    return this.config.zone !== null && zone !== "" && zone !== this.config.zone;
  }

  #leaveReady(endpoint: Endpoint): void {
    leaveReady(endpoint.far ? this.#far : this.#near, endpoint);
  }

  #place(endpoint: Endpoint): void {
    const eligible = endpoint.weight > 0;
    if (!eligible) leaveEligible(this.#eligible, endpoint);
    else if (endpoint.eligibleIndex < 0) endpoint.eligibleIndex = this.#eligible.push(endpoint) - 1;
    if (!eligible || !endpoint.accrual.ready) this.#leaveReady(endpoint);
    else if (endpoint.readyIndex < 0) endpoint.readyIndex = (endpoint.far ? this.#far : this.#near).push(endpoint) - 1;
  }

  #becameReady(): void {
    for (;;) {
      const now = this.#parts.clock.now();
      if (this.#queue.size === 0 && !this.#failFast) return;
      const endpoint = this.pick(null, now);
      if (endpoint === null) return;
      this.#failFast = false;
      const waiter = this.#queue.shift();
      if (waiter === null) return;
      if (this.#queue.size === 0) this.#parts.wheel.cancel(this.#failFastTimer);
      waiter.dispatch(this.#ring === null ? endpoint : (this.pickFor(waiter.headers, null, now) ?? endpoint));
    }
  }

  #nothingReady(): ExchangeError {
    const { authority } = this.#parts;
    if (this.#eligible.length > 0) {
      const text = `no endpoint of ${authority} is ready: ${this.#eligible.length} known, all ejected`;
      return meshError("SELVAGE_ERR_FAIL_FAST", text);
    }
    const why = this.#failure !== null ? this.#failure.message : this.#resolved ? "it has none" : "not resolved yet";
    return meshError(
      "SELVAGE_ERR_NO_ENDPOINT",
      `no endpoint of ${authority}: ${why}`,
      "local",
      "unsent",
      this.#failure,
    );
  }
}

/** Where some are in a list, in ascending order. */
function indexesIn(list: readonly Endpoint[], some: readonly Endpoint[] | null, eligible: boolean): number[] | null {
  if (some === null) return null;
  const indexes: number[] = [];
  for (const endpoint of some) {
    const at = eligible ? endpoint.eligibleIndex : endpoint.readyIndex;
    if (list[at] === endpoint) indexes.push(at);
  }
  return indexes.sort((a, b) => a - b);
}

function leaveReady(list: Endpoint[], endpoint: Endpoint): void {
  const index = endpoint.readyIndex;
  if (index < 0) return;
  const last = list.pop()!;
  if (last !== endpoint) {
    list[index] = last;
    last.readyIndex = index;
  }
  endpoint.readyIndex = -1;
}

function leaveEligible(list: Endpoint[], endpoint: Endpoint): void {
  const index = endpoint.eligibleIndex;
  if (index < 0) return;
  const last = list.pop()!;
  if (last !== endpoint) {
    list[index] = last;
    last.eligibleIndex = index;
  }
  endpoint.eligibleIndex = -1;
}
