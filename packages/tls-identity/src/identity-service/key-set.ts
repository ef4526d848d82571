import type { JWTVerifyGetKey } from "jose";
import { IdentityError } from "../identity-error.js";

/** Options of a {@link KeySet}. */
export interface KeySetOptions {
  /** Where the keys come from, for messages. */
  readonly name: string;
  /** Gets the text of a JWK Set. */
  readonly load: () => Promise<string>;
  /** How long a set is used before it is got again. */
  readonly freshMs: number;
  /** Shortest time between two attempts, however many tokens ask for keys that are not held. */
  readonly cooldownMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of each attempt that failed. */
  readonly failed?: ((error: Error) => void) | undefined;
}

/**
 * Keys that somebody publishes, and changes: got again when they are old, and when a token names one that is not among them. The last
 * good set stays in use while there is no better one, since what a token says is bounded by its own dates. With none at all, tokens
 * are refused with `certify-failed`, and the next attempt comes after the cooldown.
 */
export class KeySet {
  readonly #options: KeySetOptions;
  #held: { readonly find: JWTVerifyGetKey; readonly at: number } | null = null;
  #attemptAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<void> | null = null;
  #lastFailure: Error | null = null;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  /** The key of a token, for `jwtVerify` of jose. */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#held === null || !this.#isYounger(this.#held.at, this.#options.freshMs)) await this.refresh();
    const held = this.#held;
    if (held === null) {
      const why = this.#lastFailure === null ? "" : `: ${this.#lastFailure.message}`;
      throw new IdentityError("certify-failed", `there are no keys to verify the JWT by${why}`);
    }
    try {
      return await held.find(header, token);
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ERR_JWKS_NO_MATCHING_KEY") throw error;
      await this.refresh();
      if (this.#held === held || this.#held === null) throw error;
      return await this.#held.find(header, token);
    }
  };

  /** Gets the keys again, unless that was tried a moment ago. Never rejects. */
  async refresh(): Promise<void> {
    if (this.#pending === null) {
      if (this.#isYounger(this.#attemptAt, this.#options.cooldownMs)) return;
      this.#attemptAt = this.#options.now();
      this.#pending = this.#load().finally(() => {
        this.#pending = null;
      });
    }
    await this.#pending;
  }

  async #load(): Promise<void> {
    try {
      const { createLocalJWKSet } = await import("jose");
      const find = createLocalJWKSet(parseKeySet(await this.#options.load()) as never);
      this.#held = { find, at: this.#options.now() };
      this.#lastFailure = null;
    } catch (cause) {
      const message = `cannot get the keys of JWTs from ${this.#options.name}: ${(cause as Error).message}`;
      this.#lastFailure = new IdentityError("certify-failed", message, { cause });
      this.#options.failed?.(this.#lastFailure);
    }
  }

  /** False also for what is in the future: the clock was set back, and nobody knows how old it is. */
  #isYounger(at: number, ms: number): boolean {
    const age = this.#options.now() - at;
    return age >= 0 && age < ms;
  }
}

/** Reads a JWK Set (RFC 7517 section 5). Throws `key-malformed`; what single keys are worth shows when one is used. */
export function parseKeySet(text: string): { readonly keys: readonly object[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new IdentityError("key-malformed", "not JSON, which a JWK Set has to be", { cause });
  }
  const { keys } = (value ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys) || keys.some((key) => typeof key !== "object" || key === null || Array.isArray(key)))
    throw new IdentityError("key-malformed", 'no JWK Set, {"keys": [...]}');
  return { keys };
}
