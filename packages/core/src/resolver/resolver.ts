/** One address that serves an authority, as discovery knows it. */
export interface EndpointAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** The identity that must be proven there; `null` for an endpoint that is not meshed. */
  readonly identity: string | null;
  /** Relative share of the load, 0 for none. @defaultValue 1 */
  readonly weight?: number;
  /** The failure domain it is in. @defaultValue "" */
  readonly zone?: string;
  /** What discovery says beyond that (protocol, pod name …), for the transport and for display. */
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface ResolverListener {
  /** The whole set as it is now: what was there and is not in it is gone. Empty: the authority has no endpoints. */
  onUpdate(endpoints: readonly EndpointAddress[]): void;
  /** Discovery failed. What was known stays in use; the resolver goes on trying. */
  onFailure(error: Error): void;
}

/** Turns an authority into a changing set of endpoints. One resolver belongs to one authority. */
export interface Resolver {
  /** Starts to watch. Updates may come from inside the call. */
  watch(listener: ResolverListener): ResolverWatch;
}

export interface ResolverWatch {
  /** Stops; no listener call comes after. */
  close(): void;
}
