import type { Service } from "@selvage/http2";
import type { EndpointState, FailureAccrual } from "../resilience/failure-accrual.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import type { PeakEwma } from "./peak-ewma.js";

/** What carries exchanges to one address. */
export interface EndpointTransport extends Service {
  /** The identity that every connection of this transport must prove; `null` when it demands none. */
  readonly enforcedIdentity: string | null;
  /** Whether its connections are encrypted although they prove no mesh identity: TLS by name, or what is inside a tunnel. */
  readonly encrypted?: boolean;
  /** It is outside the mesh: no trace context gets there. */
  readonly withholdsTrace?: boolean;
  /** What its newest connection speaks, for people: `HTTP/2, TLS 1.3`; empty before there was one. */
  readonly wire?: string;
  /** The endpoint is gone: what is in flight may finish, nothing new comes. */
  close(): void;
}

/** Makes transports. The seam between the balancer and the engine. */
export interface EndpointFactory {
  create(address: EndpointAddress): EndpointTransport;
}

/** Attempts on all endpoints of a balancer that have not ended. */
export class InFlight {
  count = 0;
}

/** One address that serves an authority, with what the balancer knows of it. Owned by its balancer. */
export class Endpoint {
  /** Host and port: what it is known by. */
  readonly key: string;
  address: EndpointAddress;
  readonly identity: string | null;
  readonly transport: EndpointTransport;
  readonly load: PeakEwma;
  readonly #all: InFlight;
  accrual!: FailureAccrual;
  /** The layers of this endpoint, around its transport. */
  service: Service;
  weight: number;
  /** Attempts that have started and not ended. */
  inFlight = 0;
  attempts = 0;
  failures = 0;
  /** The balancer's own: the last update that it was in. */
  round = 0;
  /** The balancer's own: it is known to be in another zone than this workload. */
  far = false;
  /** The balancer's own: where it is in the lists it is in, -1 for not there. */
  eligibleIndex = -1;
  readyIndex = -1;

  constructor(key: string, address: EndpointAddress, transport: EndpointTransport, load: PeakEwma, all: InFlight) {
    this.key = key;
    this.address = address;
    this.identity = address.identity;
    this.transport = transport;
    this.service = transport;
    this.load = load;
    this.#all = all;
    this.weight = address.weight ?? 1;
  }

  /** An attempt starts. */
  started(): void {
    this.attempts++;
    this.inFlight++;
    this.#all.count++;
  }

  /** An attempt ended, whichever way. */
  ended(): void {
    this.inFlight--;
    this.#all.count--;
  }

  get state(): EndpointState {
    return this.accrual.state;
  }
}

/** An endpoint as `explain` shows it. */
export interface EndpointDescription {
  readonly address: string;
  readonly identity: string | null;
  readonly zone: string;
  readonly weight: number;
  readonly state: EndpointState;
  readonly load: number;
  readonly estimateMs: number;
  readonly inFlight: number;
  readonly attempts: number;
  readonly failures: number;
  readonly wire: string;
}

export function describeEndpoint(endpoint: Endpoint, now: number): EndpointDescription {
  return {
    address: endpoint.key,
    identity: endpoint.identity,
    zone: endpoint.address.zone ?? "",
    weight: endpoint.weight,
    state: endpoint.state,
    load: endpoint.load.load(now),
    estimateMs: endpoint.load.estimateMs,
    inFlight: endpoint.inFlight,
    attempts: endpoint.attempts,
    failures: endpoint.failures,
    wire: endpoint.transport.wire ?? "",
  };
}
