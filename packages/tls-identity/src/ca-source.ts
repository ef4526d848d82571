import type { KeyObject } from "node:crypto";
import pRetry, { AbortError } from "p-retry";
import { parseBundle } from "./bundle-document.js";
import { callCertify } from "./certify-call.js";
import { writeCsr } from "./csr.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySource, TrustBundle } from "./identity-source.js";
import { joinTokenPrefix } from "./join-token.js";
import { generateKey } from "./key.js";
import { createRotation } from "./rotation.js";
import type { SvidMaterial } from "./snapshot.js";
import { type Schedule, systemSchedule } from "./snapshot-source.js";
import { requireTrustDomain, type SpiffeId } from "./spiffe-id.js";
import { readTogether } from "./stable-files.js";
import { watchDirectories } from "./watch.js";

/** Options of {@link createCaSource}. */
export interface CaSourceOptions {
  /** The identity service: `https://host:port`. */
  readonly address: string;
  /** The id that the identity service must prove. Its trust domain is that of `id`. */
  readonly serverId: SpiffeId;
  /** The id to ask for. */
  readonly id: SpiffeId;
  /** File with the token that says who asks. Read again for every call. */
  readonly token: string;
  /** PEM file or SPIFFE bundle document: the roots of the own trust domain, by which the identity service is believed too. */
  readonly bundle: string;
  /** The same of other trust domains, by trust domain. @defaultValue none */
  readonly federated?: Readonly<Record<string, string>>;
  /** How often bundle files are read again; a change is mostly seen sooner. @defaultValue 10000 */
  readonly pollMs?: number;
  /** Longest duration of one call. @defaultValue 10000 */
  readonly callTimeoutMs?: number;
  /** Shortest wait after a failed attempt. @defaultValue 1000 */
  readonly minBackoffMs?: number;
  /** Longest such wait. @defaultValue 60000 */
  readonly maxBackoffMs?: number;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link CaSourceOptions}. */
export const caSourceDefaults = Object.freeze({
  pollMs: 10_000,
  callTimeoutMs: 10_000,
  minBackoffMs: 1000,
  maxBackoffMs: 60_000,
});

const quickRetries = 2;
const maxTokenChars = 16_384;

/**
 * An identity source that asks an authority: makes a key, which never leaves the process, sends a CSR and a token to the identity service
 * (Linkerd's `Certify` call), and renews at half of the lifetime with a new key. The service is verified by the trust bundle
 * and its own id; the workload shows it no certificate, unless its token is a join token, which serves once: then renewals are
 * proven by the SVID, and after a restart, or when the SVID has ended, a new token is needed. Bundles come from files; when they change, the present SVID is
 * published again with the new ones.
 *
 * Loads @grpc/grpc-js with the first call, not before. Throws `source-options` for an address that isn't `https://host:port`.
 */
export function createCaSource(options: CaSourceOptions): IdentitySource {
  const target = targetOf(options.address);
  if (options.serverId.trustDomain !== options.id.trustDomain) {
    throw new IdentityError(
      "source-options",
      `the identity service ${options.serverId} is not of the trust domain of ${options.id}`,
    );
  }
  for (const trustDomain of Object.keys(options.federated ?? {})) requireTrustDomain(trustDomain);
  const now = options.now ?? Date.now;
  const schedule = options.schedule ?? systemSchedule;
  const pollMs = options.pollMs ?? caSourceDefaults.pollMs;
  const paths = [options.bundle, ...Object.values(options.federated ?? {})];
  let seen = "";
  let held: Held | null = null;

  const rotation = createRotation({
    expected: options.id,
    now,
    schedule,
    ...(options.random && { random: options.random }),
    minBackoffMs: options.minBackoffMs ?? caSourceDefaults.minBackoffMs,
    maxBackoffMs: options.maxBackoffMs ?? caSourceDefaults.maxBackoffMs,
    obtain: async (signal) => {
      const texts = await readTogether(paths);
      const bundles = readBundles(options, texts);
      if (held !== null && texts.join("\0") !== seen && now() < held.renewAt) {
        seen = texts.join("\0");
        return { ...held.svid, bundles };
      }
      const svid = await certify(target, options, bundles.get(options.id.trustDomain)!, held?.svid ?? null, signal);
      seen = texts.join("\0");
      held = { svid, renewAt: (now() + svid.validUntil) / 2 };
      return { ...svid, bundles };
    },
  });

  // Bundles change on their own schedule, not on that of the SVID.
  const look = async () => {
    try {
      const texts = await readTogether(paths);
      if (held !== null && texts.join("\0") !== seen) rotation.renew();
    } catch {
      // The next renewal reports it.
    }
  };
  let cancelPoll = schedule(pollMs, poll);
  function poll(): void {
    void look();
    cancelPoll = schedule(pollMs, poll);
  }
  const stopWatch = watchDirectories(paths, schedule, () => void look());
  return {
    get current() {
      return rotation.current;
    },
    ready: () => rotation.ready(),
    subscribe: (listener) => rotation.subscribe(listener),
    onFailure: (listener) => rotation.onFailure(listener),
    close: () => {
      stopWatch();
      cancelPoll();
      rotation.close();
    },
  };
}

interface Svid {
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
  readonly validUntil: number;
}

interface Held {
  readonly svid: Svid;
  readonly renewAt: number;
}

function readBundles(options: CaSourceOptions, texts: readonly string[]): SvidMaterial["bundles"] {
  const [own, ...others] = texts;
  const bundles = new Map<string, TrustBundle>();
  Object.keys(options.federated ?? {}).forEach((name, index) => {
    bundles.set(name, parseBundle(name, others[index]!));
  });
  return bundles.set(options.id.trustDomain, parseBundle(options.id.trustDomain, own!));
}

async function certify(
  target: string,
  options: CaSourceOptions,
  bundle: TrustBundle,
  held: Svid | null,
  signal: AbortSignal,
): Promise<Svid> {
  const key = generateKey();
  const csr = writeCsr(options.id, key);
  return await pRetry(
    async () => {
      const [token] = await readTogether([options.token]);
      const trimmed = token!.trim();
      if (trimmed === "" || trimmed.length > maxTokenChars) {
        throw new AbortError(new IdentityError("certify-failed", `${options.token} holds no token`));
      }
      const request = { identity: options.id.toString(), token: Buffer.from(trimmed), csr };
      // A join token is used up by the first call; from then on the SVID itself is the proof. One that has ended proves nothing and
      // would get the connection refused, so that not even a new token could help.
      const isProof = held !== null && held.validUntil > (options.now ?? Date.now)();
      const own = trimmed.startsWith(joinTokenPrefix) && isProof ? held : null;
      const response = await callCertify({
        target,
        serverId: options.serverId,
        bundle,
        own,
        request,
        timeoutMs: options.callTimeoutMs ?? caSourceDefaults.callTimeoutMs,
      });
      const { validUntil } = response;
      if (validUntil === null || validUntil <= (options.now ?? Date.now)()) {
        throw new AbortError(
          new IdentityError("certify-failed", "the identity service sent a certificate that is not valid any more"),
        );
      }
      return { chain: [response.leaf, ...response.intermediates], key: key.privateKey, validUntil };
    },
    { retries: quickRetries, minTimeout: 200, randomize: true, unref: true, signal },
  );
}

function targetOf(address: string): string {
  let url: URL;
  try {
    url = new URL(address);
  } catch (cause) {
    throw new IdentityError("source-options", `${JSON.stringify(address)} is no address: use https://host:port`, {
      cause,
    });
  }
  const isBare =
    url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (url.protocol !== "https:" || !isBare)
    throw new IdentityError("source-options", `${address}: use https://host:port, and nothing more`);
  return `${url.hostname}:${url.port === "" ? 443 : url.port}`;
}
