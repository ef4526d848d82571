import type { HeaderList } from "@selvage/http2";
import type { HashConfig, HedgeConfig, RetryBudgetConfig } from "../config/config.js";
import { type TargetLookup, unknownTarget } from "../layers/route.js";
import { repeatsActed } from "../resilience/repeatable.js";
import type { RetryPolicy } from "../resilience/retry-policy.js";
import { overriddenRoute } from "../router/overridden-route.js";
import type { Route } from "../router/route.js";
import type { TargetDescription } from "../target/target.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import { type BackendExplanation, explainRoute, type RouteExplanation } from "./explain-route.js";

/** A call that somebody wonders about. */
export interface CallQuestion {
  readonly method: string;
  /** `http://host:port/path?query`; the scheme may be left out. */
  readonly url: string;
  /** Flat, with names in lower case. */
  readonly headers?: HeaderList;
}

/** When one of the attempts that a call may get begins. */
export interface AttemptPlan {
  /** 1 for the first. */
  readonly attempt: number;
  /** Shortest and longest wait after the failure of the one before, in milliseconds. */
  readonly waitMs: readonly [number, number];
  /** The latest it can begin after the call did; `null`: it depends on how long the one before takes. */
  readonly latestStartMs: number | null;
  /** How long it may take to its head; 0: as long as the call may take. */
  readonly timeoutMs: number;
}

/** After what another attempt is made. */
export interface RetryConditions {
  /** It provably did not reach the endpoint, or the endpoint says that it did not act on it: for every method. */
  readonly unprocessed: boolean;
  /** Why what may have been acted on is, or is not, repeated. */
  readonly reason: "safe-method" | "listed-method" | "idempotency-key" | "grpc-status" | "not-repeatable" | "off";
  /** Responses that are replaced by another attempt's. */
  readonly statuses: readonly number[];
  readonly grpcStatuses: readonly number[];
  /** The connection broke, or the attempt's time was over, after the request was sent. */
  readonly interrupted: boolean;
  /** A body beyond this is sent once. */
  readonly maxReplayBytes: number;
}

/** What the mesh would do with a call now. Nothing is sent. */
export interface Explanation {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly path: string;
  /** Why the call would fail before anything is tried; `null`: it would not. */
  readonly problem: string | null;
  readonly route: RouteExplanation | null;
  readonly attempts: readonly AttemptPlan[];
  readonly retriedAfter: RetryConditions | null;
  /** Attempts that are made beside one that does not answer; `null`: none, for this call. */
  readonly hedge: HedgeConfig | null;
  /** `null`: nothing is sent, or each backend has its own. */
  readonly retryBudget: (RetryBudgetConfig & { readonly available: number }) | null;
  /** The zone whose endpoints are preferred; `null`: none. */
  readonly zone: string | null;
  /** The key by which endpoints are chosen, and whose this call would be, `null` without a key; `null`: they are chosen by load. */
  readonly hash: (HashConfig & { readonly endpoint: string | null }) | null;
  /** What the call is addressed to. Who serves it are the route's backends, if it has some. */
  readonly target: TargetDescription | null;
}

/**
 * Says what happens to a call: its route, its attempts and their times, its retry budget, and the endpoints with their
 * states. Discovery of its authority begins if it had not: endpoints may be missing the first time.
 *
 * @throws TypeError for what isn't a URL
 */
export function explainCall(question: CallQuestion, targets: TargetLookup): Explanation {
  const { method, headers = [] } = question;
  const url = parseUrl(question.url);
  const authority = url.host;
  const path = `${url.pathname}${url.search}`;
  const scheme = url.protocol === "https:" ? "https" : "http";
  const call = { method, scheme, authority, path } as const;
  const target = targets.find(authority, scheme);
  const none = { route: null, attempts: [], retriedAfter: null, hedge: null };
  const nothing = { ...none, retryBudget: null, zone: null, hash: null, target: null };
  if (target === null) {
    return { ...call, ...nothing, problem: unknownTarget(targets, authority, scheme).message };
  }
  target.start();
  const described = target.describe();
  const { hash } = target.balancer.config;
  const known = {
    ...call,
    target: described,
    retryBudget: { ...target.budget.config, available: described.retriesAvailable },
    zone: target.balancer.config.zone,
    hash: hash === null ? null : { ...hash, endpoint: target.balancer.ownerOf(headers)?.key ?? null },
  };
  const route = target.routes.find(method, path, headers);
  if (route === null) {
    const problem = `no route of ${target.authority} matches ${method} ${path}`;
    return { ...known, problem, ...none };
  }
  const applied = route.overrides === true ? overriddenRoute(route, headers) : route;
  const explained = explainRoute(applied, { scheme, authority, path }, targets);
  if (explained.redirect !== null) {
    return { ...known, ...none, problem: null, route: explained, retryBudget: null };
  }
  const shared = explained.backends.length > 0;
  return {
    ...known,
    problem: shared ? backendProblem(explained.backends) : problemOf(described),
    route: explained,
    attempts: attemptsOf(applied),
    retriedAfter: conditionsOf(applied.retry, method, headers),
    hedge: repeatsActed(applied.retry, { method, headers }) ? applied.retry.hedge : null,
    ...(shared && { retryBudget: null, hash: null }),
  };
}

/** What is wrong with the first of those that get calls. */
function backendProblem(backends: readonly BackendExplanation[]): string | null {
  for (const { service, weight, target } of backends) {
    if (weight === 0) continue;
    const problem = target === null ? `no service ${service}, a backend` : problemOf(target);
    if (problem !== null) return problem;
  }
  return null;
}

/** Reads the question of `/explain?method=GET&url=…&header=name:value`. Throws a TypeError that says how to ask. */
export function readQuestion(question: URLSearchParams): CallQuestion {
  const url = question.get("url") ?? "";
  if (url === "") throw new TypeError("url is missing: ask for /explain?method=GET&url=http://inventory.shop/items/7");
  const headers: string[] = [];
  for (const header of question.getAll("header")) {
    const colon = header.indexOf(":");
    if (colon < 1) throw new TypeError(`header must be name:value, got ${JSON.stringify(header)}`);
    headers.push(header.slice(0, colon).trim().toLowerCase(), header.slice(colon + 1).trim());
  }
  const method = question.get("method") ?? "GET";
  // RFC 9110, section 5.6.2. A URL in its place is the usual mistake.
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method))
    throw new TypeError(`method must be one such as GET, got ${JSON.stringify(method)}; the URL comes after it`);
  return { method, url, headers };
}

/** A host and a port alone could be taken for a scheme. */
function parseUrl(text: string): URL {
  const written = /^https?:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(written)) throw new TypeError(`url must be a URL, got ${JSON.stringify(text)}`);
  return new URL(written);
}

function problemOf({ endpoints, failingFast, authority }: TargetDescription): string | null {
  if (endpoints.length === 0) return `no endpoint of ${authority} is known`;
  if (failingFast) return `no endpoint of ${authority} is ready, and has not been for a while: calls fail at once`;
  return null;
}

function attemptsOf({ timeoutMs, retry }: Route): AttemptPlan[] {
  const { limit, perTryTimeoutMs, backoff } = retry;
  const plans: AttemptPlan[] = [{ attempt: 1, waitMs: [0, 0], latestStartMs: 0, timeoutMs: perTryTimeoutMs }];
  let latest = 0;
  for (let n = 0; n < limit; n++) {
    const base = Math.min(backoff.minMs * 2 ** n, backoff.maxMs);
    const longest = Math.min(base * (1 + backoff.jitter), backoff.maxMs);
    latest += perTryTimeoutMs + longest;
    plans.push({
      attempt: n + 2,
      waitMs: [base, longest],
      latestStartMs: perTryTimeoutMs > 0 ? latest : timeoutMs > 0 ? timeoutMs : null,
      timeoutMs: perTryTimeoutMs,
    });
  }
  return plans;
}

function conditionsOf(policy: RetryPolicy, method: string, headers: HeaderList): RetryConditions {
  const { limit, methods, maxReplayBytes } = policy;
  const grpcStatuses = indexesOf(policy.retriesGrpcStatus);
  const none = { unprocessed: limit > 0, statuses: [], grpcStatuses: [], interrupted: false, maxReplayBytes };
  if (limit === 0) return { ...none, reason: "off" };
  if (isGrpcRequest(method, headers)) {
    return grpcStatuses.length === 0
      ? { ...none, reason: "not-repeatable" }
      : { ...none, reason: "grpc-status", grpcStatuses, interrupted: grpcStatuses.includes(14) };
  }
  const keyed = headers.some((name, i) => i % 2 === 0 && name === "idempotency-key");
  if (!methods.includes(method) && !keyed) return { ...none, reason: "not-repeatable" };
  const safe = ["GET", "HEAD", "OPTIONS", "TRACE"].includes(method);
  const reason = methods.includes(method) ? (safe ? "safe-method" : "listed-method") : "idempotency-key";
  return { ...none, reason, statuses: indexesOf(policy.retriesStatus), interrupted: true };
}

function indexesOf(flags: Uint8Array): number[] {
  return [...flags.keys()].filter((i) => flags[i] === 1);
}
