import type { TargetScheme } from "../egress/egress-rules.js";
import type { TargetLookup } from "../layers/route.js";
import { type TimerOwner, WheelTimer } from "../runtime/timer-wheel.js";
import { Target, type TargetConfig, type TargetDescription, type TargetParts } from "./target.js";

/** Says what an authority is, when it is asked for first. `null`: there is no such authority. */
export type TargetSource = (authority: string, scheme: TargetScheme) => TargetConfig | null;

export interface TargetTableOptions {
  /** How long an authority that nobody asks for stays. @defaultValue 300000 */
  readonly idleMs?: number;
  /** Authorities at the same time; beyond it, unused ones are dropped, and if there are none, new ones refused. @defaultValue 10000 */
  readonly maxTargets?: number;
  /** What to say about an unknown authority. */
  readonly explainUnknown?: (authority: string) => string;
  /** Whether an unknown authority is one that egress could allow. */
  readonly isOutside?: (authority: string, scheme: TargetScheme) => boolean;
}

/** All authorities in use. Each starts with its first request, and is dropped after it was idle for long. */
export class TargetTable implements TargetLookup, TimerOwner {
  readonly #source: TargetSource;
  readonly #parts: TargetParts;
  readonly #idleMs: number;
  readonly #maxTargets: number;
  readonly #explainUnknown: (authority: string) => string;
  readonly #isOutside: (authority: string, scheme: TargetScheme) => boolean;
  /** By the name that the source gives. */
  readonly #targets = new Map<string, Target>();
  /** By the name as applications write it: there may be several for one target. */
  readonly #names = new Map<string, Target>();
  /** The same for what is asked for by https, and by CONNECT. */
  readonly #secureNames = new Map<string, Target>();
  readonly #tunnelNames = new Map<string, Target>();
  readonly #timer = new WheelTimer(this);
  #closed = false;

  constructor(source: TargetSource, parts: TargetParts, options: TargetTableOptions = {}) {
    this.#source = source;
    this.#parts = parts;
    this.#idleMs = options.idleMs ?? 300_000;
    this.#maxTargets = options.maxTargets ?? 10_000;
    this.#explainUnknown = options.explainUnknown ?? (() => "it is not configured");
    this.#isOutside = options.isOutside ?? (() => false);
  }

  get size(): number {
    return this.#targets.size;
  }

  find(authority: string, scheme: TargetScheme = "http"): Target | null {
    const names = scheme === "http" ? this.#names : scheme === "https" ? this.#secureNames : this.#tunnelNames;
    return names.get(authority) ?? this.#make(authority, scheme, names);
  }

  explainUnknown(authority: string): string {
    if (this.#closed) return "the mesh is closed";
    return this.#targets.size >= this.#maxTargets ? "too many authorities are in use" : this.#explainUnknown(authority);
  }

  isOutside(authority: string, scheme: TargetScheme): boolean {
    return (
      !this.#closed &&
      this.#targets.size < this.#maxTargets &&
      this.#isOutside(normalAuthority(authority, scheme), scheme)
    );
  }

  /** Drops a target, so that the next request asks its source again: configuration has changed. */
  forget(authority: string): void {
    const target = this.#targets.get(normalAuthority(authority));
    if (target !== undefined) this.#drop(target);
  }

  describe(): readonly TargetDescription[] {
    return [...this.#targets.values()].map((target) => target.describe());
  }

  close(): void {
    this.#closed = true;
    this.#parts.wheel.cancel(this.#timer);
    for (const target of [...this.#targets.values()]) this.#drop(target);
  }

  /** Time to look for what is idle: not asked for since the last look, and nothing in flight. */
  onTimer(): void {
    this.#dropIdle();
    if (this.#targets.size > 0) this.#parts.wheel.set(this.#timer, this.#parts.clock.now() + this.#idleMs);
  }

  #make(authority: string, scheme: TargetScheme, names: Map<string, Target>): Target | null {
    if (this.#closed) return null;
    const name = normalAuthority(authority, scheme);
    // What is asked for otherwise may be something else: `https://a` outside, and `http://a` in the mesh.
    let target = scheme === "http" ? this.#targets.get(name) : undefined;
    if (target === undefined) {
      if (this.#targets.size >= this.#maxTargets) this.#dropIdle();
      if (this.#targets.size >= this.#maxTargets) return null;
      const config = this.#source(name, scheme);
      if (config === null) return null;
      // `inventory` may be short for `inventory.shop`: one target, with one set of connections.
      target = this.#targets.get(config.authority);
      if (target === undefined) {
        target = new Target(config, this.#parts);
        if (this.#targets.size === 0) this.#parts.wheel.set(this.#timer, this.#parts.clock.now() + this.#idleMs);
        this.#targets.set(config.authority, target);
      }
    }
    // Anybody can write a name in many ways; a few are remembered, the others are looked up the long way.
    if (names.size < this.#maxTargets * 4) names.set(authority, target);
    return target;
  }

  #dropIdle(): void {
    for (const target of [...this.#targets.values()]) {
      if (target.used || target.inFlight > 0) target.used = false;
      else this.#drop(target);
    }
  }

  #drop(target: Target): void {
    for (const table of [this.#targets, this.#names, this.#secureNames, this.#tunnelNames]) {
      for (const [name, other] of table) if (other === target) table.delete(name);
    }
    target.close();
  }
}

/** Lower case, without a trailing dot and without the port that `http` implies. */
export function normalAuthority(authority: string, scheme: TargetScheme = "http"): string {
  let name = authority.toLowerCase();
  if (scheme === "http" && name.endsWith(":80")) name = name.slice(0, -3);
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
