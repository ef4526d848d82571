import { createHash } from "node:crypto";
import { backoffMs } from "./backoff.js";
import { parseBundle } from "./bundle-document.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySource, TrustBundle } from "./identity-source.js";
import { importPrivateKey } from "./key.js";
import { readCertificatesPem } from "./pem.js";
import type { SvidMaterial } from "./snapshot.js";
import { permanentReasons, type Schedule, SnapshotSource } from "./snapshot-source.js";
import { requireTrustDomain, type SpiffeId } from "./spiffe-id.js";
import { readTogether } from "./stable-files.js";
import { verifyLeaf } from "./verify.js";
import { watchDirectories } from "./watch.js";

/** Options of {@link createFilesSource}. */
export interface FilesSourceOptions {
  /** PEM file: the leaf, then intermediates. */
  readonly cert: string;
  /** PEM file: the private key, without passphrase. */
  readonly key: string;
  /** PEM file or SPIFFE bundle document: the roots of the SVID's own trust domain. */
  readonly bundle: string;
  /** The same of other trust domains, by trust domain. @defaultValue none */
  readonly federated?: Readonly<Record<string, string>>;
  /** The id that the SVID must be for. @defaultValue whatever the leaf says */
  readonly id?: SpiffeId;
  /** How often the files are read again; a change is mostly seen sooner. @defaultValue 5000 */
  readonly pollMs?: number;
  /** Whether a key file that others may read is refused. @defaultValue whether `NODE_ENV` is `production` */
  readonly production?: boolean;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link FilesSourceOptions}. */
export const filesSourceDefaults = Object.freeze({ pollMs: 5000 });

// Whoever renews these files decides when, often at two thirds of the lifetime: half is no cause for alarm.
const alarmParts = [0.25, 0.1];
const minRetryMs = 200;

/**
 * An identity source that reads PEM files which somebody else renews: cert-manager, a SPIFFE helper, a person. Reads all of them
 * as of one moment, also from Kubernetes volumes whose `..data` link is swapped, and publishes when their content changed and
 * fits together; until then, and whatever is wrong with them later, the last good snapshot stays.
 *
 * In production a key file that others may read is refused (`file-key-exposed`). A missing file is waited for.
 */
export function createFilesSource(options: FilesSourceOptions): IdentitySource {
  for (const trustDomain of Object.keys(options.federated ?? {})) requireTrustDomain(trustDomain);
  return new FilesSource(options);
}

class FilesSource extends SnapshotSource {
  readonly #options: FilesSourceOptions;
  readonly #paths: readonly string[];
  readonly #stopWatch: () => void;
  #digest = "";
  #failed = 0;
  #reading = false;
  #again = false;
  #cancelTimer: (() => void) | null = null;

  constructor(options: FilesSourceOptions) {
    super({
      expected: options.id,
      now: options.now,
      schedule: options.schedule,
      permanent: permanentReasons,
      alarmParts,
    });
    this.#options = options;
    this.#paths = [options.key, options.cert, options.bundle, ...Object.values(options.federated ?? {})];
    this.#stopWatch = watchDirectories(this.#paths, this.schedule, () => this.#look());
    this.#look();
  }

  override close(): void {
    super.close();
    this.#stopWatch();
    this.#cancelTimer?.();
  }

  #look(): void {
    if (this.closing.aborted) return;
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    this.#cancelTimer?.();
    void this.#read().then((delayMs) => {
      this.#reading = false;
      if (this.closing.aborted) return;
      const again = this.#again;
      this.#again = false;
      if (again) this.#look();
      else this.#cancelTimer = this.schedule(delayMs, () => this.#look());
    });
  }

  /** Returns how long to wait until the next look. */
  async #read(): Promise<number> {
    const pollMs = this.#options.pollMs ?? filesSourceDefaults.pollMs;
    try {
      const production = this.#options.production ?? process.env["NODE_ENV"] === "production";
      const contents = await readTogether(this.#paths, production ? this.#options.key : null);
      if (this.closing.aborted) return 0;
      const digest = contents
        .reduce((hash, text) => hash.update(text).update("\0"), createHash("sha256"))
        .digest("hex");
      if (digest !== this.#digest) {
        this.offer(this.#material(contents));
        this.#digest = digest;
      }
      this.#failed = 0;
      return pollMs;
    } catch (error) {
      this.#failed++;
      this.fail(error);
      const random = (this.#options.random ?? Math.random)();
      return backoffMs(this.#failed, { minMs: Math.min(minRetryMs, pollMs), maxMs: pollMs }, random);
    }
  }

  #material(contents: readonly string[]): SvidMaterial {
    const [key, cert, bundle, ...federated] = contents;
    const chain = readCertificatesPem(cert!);
    if (chain.length === 0) throw new IdentityError("chain-empty", `${this.#options.cert} holds no certificate`);
    const { trustDomain } = verifyLeaf(chain[0]!).id;
    const bundles = new Map<string, TrustBundle>();
    Object.keys(this.#options.federated ?? {}).forEach((name, index) => {
      bundles.set(name, parseBundle(name, federated[index]!));
    });
    bundles.set(trustDomain, parseBundle(trustDomain, bundle!));
    return { chain, key: importPrivateKey(key!), bundles };
  }
}
