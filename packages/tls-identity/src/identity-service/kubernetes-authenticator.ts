import { IdentityError } from "../identity-error.js";
import type { Authenticator } from "./caller.js";

/** Options of {@link createKubernetesAuthenticator}. */
export interface KubernetesAuthenticatorOptions {
  /**
   * Posts a `TokenReview` (authentication.k8s.io/v1) to the API server and resolves with the object that it answers. The way there,
   * with its credentials and trust, is the caller's.
   */
  readonly review: (tokenReview: object, signal: AbortSignal) => Promise<unknown>;
  /** Audience that the token must be meant for. @defaultValue `identity.l5d.io`, as Linkerd's */
  readonly audience?: string;
}

const defaultAudience = "identity.l5d.io";
const labelPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

interface ReviewStatus {
  readonly authenticated?: unknown;
  readonly error?: unknown;
  readonly audiences?: unknown;
  readonly user?: { readonly username?: unknown };
}

/**
 * Asks the Kubernetes API whose token it is. Believes service accounts only, and only if the API confirms the audience. Its
 * attributes are `namespace` and `account`. Refuses every token while the API is away.
 */
export function createKubernetesAuthenticator(options: KubernetesAuthenticatorOptions): Authenticator {
  const audience = options.audience ?? defaultAudience;
  return {
    authenticate: async (token, signal) => {
      const request = {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences: [audience] },
      };
      let status: ReviewStatus | undefined;
      try {
        status = ((await options.review(request, signal)) as { status?: ReviewStatus } | null)?.status;
      } catch (cause) {
        throw new IdentityError("certify-failed", "the Kubernetes API could not review the token", { cause });
      }
      if (status?.authenticated !== true) throw refused("the Kubernetes API does not know it");
      if (!Array.isArray(status.audiences) || !status.audiences.includes(audience))
        throw refused(`it is not meant for ${audience}`);
      const { username } = status.user ?? {};
      const parts = typeof username === "string" ? username.split(":") : [];
      const [system, serviceaccount, namespace, account] = parts;
      const isAccount = parts.length === 4 && system === "system" && serviceaccount === "serviceaccount";
      if (!isAccount || !labelPattern.test(namespace!) || !labelPattern.test(account!))
        throw refused("it is of no service account");
      return {
        kind: "kubernetes",
        subject: username as string,
        attributes: { namespace: namespace!, account: account! },
      };
    },
  };
}

function refused(why: string): IdentityError {
  return new IdentityError("token-refused", `the token is refused: ${why}`);
}
