import { httpsGet } from "../https-get.js";
import { IdentityError } from "../identity-error.js";
import { readTogether } from "../stable-files.js";
import type { Authenticator } from "./caller.js";
import { KeySet } from "./key-set.js";

/** Options of {@link createJwtAuthenticator}. */
export interface JwtAuthenticatorOptions {
  /** The only `iss` to believe. Tokens of other issuers are left to other authenticators. */
  readonly issuer: string;
  /** The `aud` that a token must be meant for. @defaultValue `identity.l5d.io`, as Linkerd's */
  readonly audience?: string;
  /**
   * A JWK Set as an object, in a file, or at an https URL. A file is read again every 5 s of use. A URL is asked at once, then every 10
   * minutes of use and when a token names a key that is not known, but at most every 10 s; redirects are not followed, at most
   * 1 MiB is read within 5 s. What was good last stays in use when file or URL fail.
   */
  readonly keys: { readonly keys: readonly object[] } | { readonly file: string } | URL;
  /** PEM: the roots by which the server of the URL is believed. @defaultValue those of Node, with `NODE_EXTRA_CA_CERTS` */
  readonly ca?: string;
  /** Told of each attempt to get keys that failed. */
  readonly onKeysFailure?: (error: Error) => void;
  /** Signature algorithms to accept, never `none` or a shared secret. @defaultValue ES256, ES384, RS256, PS256, EdDSA */
  readonly algorithms?: readonly string[];
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
}

const algorithmsByDefault = ["ES256", "ES384", "RS256", "PS256", "EdDSA"];
const defaultAudience = "identity.l5d.io";
const file = Object.freeze({ freshMs: 5000, cooldownMs: 1000 });
const remote = Object.freeze({ freshMs: 600_000, cooldownMs: 10_000, timeoutMs: 5000, maxBytes: 1 << 20 });

/**
 * Believes JWTs signed by one issuer's keys (OIDC, projected service-account tokens, CI systems). Requires `exp` and `sub`; checks
 * signature, issuer, audience and dates. Its attributes are `subject` and all claims that are strings.
 */
export function createJwtAuthenticator(options: JwtAuthenticatorOptions): Authenticator {
  const algorithms = [...(options.algorithms ?? algorithmsByDefault)];
  if (algorithms.some((algorithm) => algorithm === "none" || algorithm.startsWith("HS"))) {
    throw new IdentityError(
      "source-options",
      `algorithms: ${algorithms.join(", ")} holds one that proves nothing to us`,
    );
  }
  if (options.keys instanceof URL && options.keys.protocol !== "https:") {
    throw new IdentityError("source-options", `keys: ${options.keys} could be changed on the way; use https`);
  }
  const now = options.now ?? Date.now;
  const keys = keySetOf(options, now);
  // Who is wrong about the URL learns it when the service starts, not from the first workload.
  void keys.refresh();
  return {
    authenticate: async (token) => {
      const jose = await import("jose");
      let issuer: unknown;
      try {
        issuer = jose.decodeJwt(token).iss;
      } catch {
        return null;
      }
      if (issuer !== options.issuer) return null;
      try {
        const { payload } = await jose.jwtVerify(token, keys.find, {
          issuer: options.issuer,
          audience: options.audience ?? defaultAudience,
          algorithms,
          requiredClaims: ["exp", "sub"],
          currentDate: new Date(now()),
        });
        const subject: unknown = payload.sub;
        if (typeof subject !== "string" || subject === "") throw new Error('"sub" claim must be a text');
        const attributes: Record<string, string> = {};
        for (const [name, value] of Object.entries(payload)) if (typeof value === "string") attributes[name] = value;
        attributes["subject"] = subject;
        return { kind: "jwt", subject, attributes };
      } catch (cause) {
        if (IdentityError.is(cause)) throw cause;
        throw new IdentityError("token-refused", `the JWT is refused: ${(cause as Error).message}`, { cause });
      }
    },
  };
}

function keySetOf({ keys, ca, onKeysFailure: failed }: JwtAuthenticatorOptions, now: () => number): KeySet {
  if (keys instanceof URL) {
    const { timeoutMs, maxBytes, freshMs, cooldownMs } = remote;
    const tls = { minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) } as const;
    const load = () => httpsGet(keys, { tls, timeoutMs, maxBytes });
    return new KeySet({ name: keys.href, load, freshMs, cooldownMs, now, failed });
  }
  if ("file" in keys) {
    const load = async () => (await readTogether([keys.file]))[0]!;
    return new KeySet({ ...file, name: keys.file, load, now, failed });
  }
  const text = JSON.stringify(keys);
  return new KeySet({
    name: "the options",
    load: async () => text,
    freshMs: Number.POSITIVE_INFINITY,
    cooldownMs: Number.POSITIVE_INFINITY,
    now,
    failed,
  });
}
