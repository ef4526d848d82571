import type { JWTVerifyGetKey } from "jose";
import { IdentityError } from "../identity-error.js";
import type { Authenticator } from "./caller.js";

/** Options of {@link createJwtAuthenticator}. */
export interface JwtAuthenticatorOptions {
  /** The only `iss` to believe. Tokens of other issuers are left to other authenticators. */
  readonly issuer: string;
  /** The `aud` that a token must be meant for. @defaultValue `identity.l5d.io`, as Linkerd's */
  readonly audience?: string;
  /** Keys: a JWK Set as an object, or the URL of one, fetched when needed and cached. */
  readonly keys: { readonly keys: readonly object[] } | URL;
  /** Signature algorithms to accept, never `none` or a shared secret. @defaultValue ES256, ES384, RS256, PS256, EdDSA */
  readonly algorithms?: readonly string[];
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
}

const algorithmsByDefault = ["ES256", "ES384", "RS256", "PS256", "EdDSA"];
const defaultAudience = "identity.l5d.io";

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
  let keys: JWTVerifyGetKey | null = null;
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
      keys ??=
        options.keys instanceof URL
          ? jose.createRemoteJWKSet(options.keys)
          : jose.createLocalJWKSet({ keys: options.keys.keys as never });
      try {
        const { payload } = await jose.jwtVerify(token, keys, {
          issuer: options.issuer,
          audience: options.audience ?? defaultAudience,
          algorithms,
          requiredClaims: ["exp", "sub"],
          currentDate: new Date((options.now ?? Date.now)()),
        });
        const attributes: Record<string, string> = {};
        for (const [name, value] of Object.entries(payload)) if (typeof value === "string") attributes[name] = value;
        attributes["subject"] = payload.sub!;
        return { kind: "jwt", subject: payload.sub!, attributes };
      } catch (cause) {
        throw new IdentityError("token-refused", `the JWT is refused: ${(cause as Error).message}`, { cause });
      }
    },
  };
}
