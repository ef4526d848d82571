import { issueLeaf } from "../authority.js";
import { readCertificate } from "../certificate.js";
import type { CertifyRequest, CertifyResponse } from "../certify-rpc.js";
import { readCsr } from "../csr.js";
import { IdentityError } from "../identity-error.js";
import { type Schedule, systemSchedule } from "../snapshot-source.js";
import { SpiffeId } from "../spiffe-id.js";
import { readTogether } from "../stable-files.js";
import { watchDirectories } from "../watch.js";
import type { Authenticator, Caller } from "./caller.js";
import { type IssuerPaths, type LoadedIssuer, loadIssuer } from "./issuer-files.js";
import { RateLimit, type RateLimitConfig } from "./rate-limit.js";
import { type CertifyRules, parseRules, requireEntitled } from "./rules.js";

/** Options of {@link createIdentityService}. */
export interface IdentityServiceOptions {
  readonly trustDomain: string;
  readonly issuer: IssuerPaths;
  /** Asked in this order; the first that knows the kind of token decides. */
  readonly authenticators: readonly Authenticator[];
  /** File with the rules, JSON; read again when it changes. @defaultValue no rules: only join tokens and renewals are served */
  readonly rules?: string;
  /** Whether a workload may renew by showing its SVID instead of a token. @defaultValue false */
  readonly renewBySvid?: boolean;
  /** @defaultValue 24 h */
  readonly leafLifetimeMs?: number;
  /** Of one caller. @defaultValue 1 per second, 20 at once */
  readonly callerLimit?: RateLimitConfig;
  /** Of all callers together, counted before tokens are looked at. @defaultValue 2000 per second, 4000 at once */
  readonly totalLimit?: RateLimitConfig;
  /** Takes one line of JSON for each decision, without its end of line. @defaultValue dropped */
  readonly audit?: (line: string) => void;
  /** How often files are read again; a change is mostly seen sooner. @defaultValue 5000 */
  readonly pollMs?: number;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link IdentityServiceOptions}. */
export const identityServiceDefaults = Object.freeze({
  leafLifetimeMs: 24 * 3_600_000,
  callerLimit: Object.freeze({ perSecond: 1, burst: 20 }),
  totalLimit: Object.freeze({ perSecond: 2000, burst: 4000 }),
  pollMs: 5000,
});

/** Whence a request came. */
export interface CertifyContext {
  /** Id that the caller's own certificate proves; null without one. */
  readonly peer: SpiffeId | null;
  /** For the audit. */
  readonly address: string;
  readonly signal: AbortSignal;
}

/** Counters since the start, and the state. */
export interface IdentityServiceStatus {
  readonly issued: number;
  /** By reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Attempts to read files that failed. */
  readonly reloadFailures: number;
  /** What keeps the service from issuing; empty when it is ready. */
  readonly blockers: readonly string[];
  /** Of the issuer, in milliseconds since 1970; null before it is loaded. */
  readonly issuerNotAfter: number | null;
}

/** The identity service without its network: requests in, certificates out. */
export interface IdentityService {
  readonly status: IdentityServiceStatus;
  /** The issuer in use; null before it is loaded. */
  readonly issuer: LoadedIssuer | null;
  /** Resolves when the issuer and the rules have been read for the first time, well or not. */
  loaded(): Promise<void>;
  /** Answers one request. Throws {@link IdentityError}; each decision is audited. */
  certify(request: CertifyRequest, context: CertifyContext): Promise<CertifyResponse>;
  /** Calls `listener` when another issuer or bundle is in use. Returns the end of the subscription. */
  onIssuer(listener: () => void): () => void;
  close(): void;
}

const noRules: CertifyRules = { rules: [], revoked: new Set() };

/**
 * Issues leaves to callers that prove themselves and are entitled by a rule, by their join token, or by their own SVID. Takes
 * nothing from a CSR but its key. Follows its files: issuer, bundle and rules are read again when they change, and the last
 * good ones stay in use. Without a valid issuer it refuses everything with `authority-expired`.
 */
export function createIdentityService(options: IdentityServiceOptions): IdentityService {
  return new FileBackedService(options);
}

class FileBackedService implements IdentityService {
  readonly #options: IdentityServiceOptions;
  readonly #now: () => number;
  readonly #schedule: Schedule;
  readonly #callerLimit: RateLimit;
  readonly #totalLimit: RateLimit;
  readonly #stopWatch: () => void;
  readonly #listeners = new Set<() => void>();
  readonly #loaded: Promise<void>;
  readonly #refused: Record<string, number> = {};
  #issued = 0;
  #reloadFailures = 0;
  #issuer: LoadedIssuer | null = null;
  #issuerFault = "issuer not loaded";
  #rules: CertifyRules | null = null;
  #rulesFault = "rules not loaded";
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  constructor(options: IdentityServiceOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#schedule = options.schedule ?? systemSchedule;
    this.#callerLimit = new RateLimit(options.callerLimit ?? identityServiceDefaults.callerLimit);
    this.#totalLimit = new RateLimit(options.totalLimit ?? identityServiceDefaults.totalLimit);
    const paths = [
      options.issuer.key,
      options.issuer.cert,
      options.issuer.bundle,
      ...(options.rules ? [options.rules] : []),
    ];
    this.#stopWatch = watchDirectories(paths, this.#schedule, () => void this.#reload());
    this.#loaded = this.#reload();
    this.#poll();
  }

  get issuer(): LoadedIssuer | null {
    return this.#issuer;
  }

  get status(): IdentityServiceStatus {
    const blockers: string[] = [];
    if (this.#issuer === null) blockers.push(this.#issuerFault);
    else if (this.#issuer.notAfter <= this.#now()) blockers.push("issuer expired");
    if (this.#rules === null) blockers.push(this.#rulesFault);
    return {
      issued: this.#issued,
      refused: { ...this.#refused },
      reloadFailures: this.#reloadFailures,
      blockers,
      issuerNotAfter: this.#issuer?.notAfter ?? null,
    };
  }

  loaded(): Promise<void> {
    return this.#loaded;
  }

  onIssuer(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    this.#closed = true;
    this.#stopWatch();
    this.#cancelTimer?.();
  }

  async certify(request: CertifyRequest, context: CertifyContext): Promise<CertifyResponse> {
    let caller: Caller | null = null;
    try {
      if (!this.#totalLimit.take("", this.#now())) throw new IdentityError("rate-limited", "too many requests");
      const id = SpiffeId.parse(request.identity);
      caller = await this.#authenticate(request, context, id);
      if (!this.#callerLimit.take(`${caller.kind} ${caller.subject}`, this.#now())) {
        throw new IdentityError("rate-limited", `too many requests of ${caller.subject}`);
      }
      const issuer = this.#issuer;
      if (issuer === null || issuer.notAfter <= this.#now() || this.#rules === null) {
        throw new IdentityError("authority-expired", this.status.blockers.join(", "));
      }
      requireEntitled(this.#rules, caller, id);
      const { spki } = readCsr(request.csr, id);
      await caller.redeem?.();
      const lifetimeMs = Math.min(
        this.#options.leafLifetimeMs ?? identityServiceDefaults.leafLifetimeMs,
        issuer.notAfter - this.#now(),
      );
      const leaf = issueLeaf(issuer.authority, id, spki, { now: this.#now(), lifetimeMs });
      const { notAfter, serial } = readCertificate(leaf);
      this.#issued++;
      this.#audit("issued", request, context, caller, {
        serial: serial.toString("hex"),
        notAfter: new Date(notAfter).toISOString(),
      });
      return { leaf, intermediates: issuer.intermediates, validUntil: notAfter };
    } catch (error) {
      const reason = IdentityError.is(error) ? error.reason : "certify-failed";
      this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
      this.#audit("refused", request, context, caller, { reason, detail: detailOf(error) });
      throw error;
    }
  }

  async #authenticate(request: CertifyRequest, context: CertifyContext, id: SpiffeId): Promise<Caller> {
    if (context.peer !== null && context.peer === id && this.#options.renewBySvid === true) {
      return { kind: "svid", subject: id.toString(), attributes: {}, entitledTo: id };
    }
    const token = request.token.toString("latin1");
    if (token === "") throw new IdentityError("token-refused", "no token");
    for (const authenticator of this.#options.authenticators) {
      const caller = await authenticator.authenticate(token, context.signal);
      if (caller !== null) return caller;
    }
    throw new IdentityError("token-refused", "a token of no kind that is accepted here");
  }

  #audit(outcome: string, request: CertifyRequest, context: CertifyContext, caller: Caller | null, more: object): void {
    const line = {
      time: new Date(this.#now()).toISOString(),
      outcome,
      // Untrusted text: bounded here, escaped by JSON.
      identity: request.identity.slice(0, 300),
      caller: caller === null ? null : { kind: caller.kind, subject: caller.subject.slice(0, 300) },
      address: context.address,
      ...more,
    };
    this.#options.audit?.(JSON.stringify(line));
  }

  #poll(): void {
    this.#cancelTimer = this.#schedule(this.#options.pollMs ?? identityServiceDefaults.pollMs, () => {
      void this.#reload();
      this.#poll();
    });
  }

  async #reload(): Promise<void> {
    if (this.#closed) return;
    try {
      const issuer = await loadIssuer(this.#options.issuer, this.#options.trustDomain, this.#now());
      const changed = issuer.version !== this.#issuer?.version;
      if (changed) {
        this.#issuer = issuer;
        for (const listener of this.#listeners) listener();
      }
    } catch (error) {
      this.#reloadFailures++;
      this.#issuerFault = (error as Error).message;
    }
    try {
      this.#rules =
        this.#options.rules === undefined ? noRules : parseRules((await readTogether([this.#options.rules]))[0]!);
    } catch (error) {
      this.#reloadFailures++;
      this.#rulesFault = (error as Error).message;
    }
  }
}

/** What only whoever runs the service may know: the message, and what failed below. No message of ours holds a token. */
function detailOf(error: unknown): string {
  const { message, cause } = error as Error;
  const below = cause instanceof Error && !message.includes(cause.message) ? `: ${cause.message}` : "";
  return `${message}${below}`.slice(0, 300);
}
