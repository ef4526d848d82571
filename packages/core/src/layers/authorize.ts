import type { Service, Sink } from "@selvage/http2";
import type { Verdict } from "@selvage/policy";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";
import type { CounterSeries } from "../telemetry/series.js";
import { refuse } from "./refuse.js";

/** Decides about a request, from what is proven of its peer. Verdicts are made beforehand, not per request. */
export interface Authorizer {
  decide(x: MeshExchange): Verdict;
}

/** Refuses what policy does not allow, and counts all verdicts. */
export class AuthorizeLayer implements Layer {
  readonly name = "authorize";
  readonly #authorizer: Authorizer;
  readonly #metrics: MeshMetrics;

  constructor(authorizer: Authorizer, metrics: MeshMetrics) {
    this.#authorizer = authorizer;
    this.#metrics = metrics;
  }

  wrap(inner: Service): Service {
    return new AuthorizeService(inner, this.#authorizer, this.#metrics);
  }
}

/** The rules of one policy are few; those of policies that were replaced are forgotten at this many. */
const maxRules = 1_000;

class AuthorizeService implements Service {
  readonly #inner: Service;
  readonly #authorizer: Authorizer;
  readonly #metrics: MeshMetrics;
  readonly #counters = new Map<string, RuleCounters>();

  constructor(inner: Service, authorizer: Authorizer, metrics: MeshMetrics) {
    this.#inner = inner;
    this.#authorizer = authorizer;
    this.#metrics = metrics;
  }

  call(x: MeshExchange, sink: Sink): void {
    const verdict = this.#authorizer.decide(x);
    const counters = this.#countersOf(verdict.rule);
    if (!verdict.allow) {
      counters.count("deny");
      refuse(x, sink, meshError("SELVAGE_ERR_DENIED", verdict.reason));
      return;
    }
    counters.count(verdict.audited ? "audit" : "allow");
    this.#inner.call(x, sink);
  }

  #countersOf(rule: string): RuleCounters {
    let counters = this.#counters.get(rule);
    if (counters === undefined) {
      if (this.#counters.size >= maxRules) this.#counters.clear();
      counters = new RuleCounters(this.#metrics, rule);
      this.#counters.set(rule, counters);
    }
    return counters;
  }
}

class RuleCounters {
  readonly #metrics: MeshMetrics;
  readonly #rule: string;
  #allow: CounterSeries | null = null;
  #deny: CounterSeries | null = null;
  #audit: CounterSeries | null = null;

  constructor(metrics: MeshMetrics, rule: string) {
    this.#metrics = metrics;
    this.#rule = rule;
  }

  count(verdict: "allow" | "deny" | "audit"): void {
    if (verdict === "allow") {
      this.#allow ??= this.#metrics.verdicts.with(verdict, this.#rule);
      this.#allow.increment();
    } else if (verdict === "deny") {
      this.#deny ??= this.#metrics.verdicts.with(verdict, this.#rule);
      this.#deny.increment();
    } else {
      this.#audit ??= this.#metrics.verdicts.with(verdict, this.#rule);
      this.#audit.increment();
    }
  }
}
