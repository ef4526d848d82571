import { createHash } from "node:crypto";
import { open, realpath } from "node:fs/promises";
import { backoffMs } from "./backoff.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySource, TrustBundle } from "./identity-source.js";
import { importPrivateKey } from "./key.js";
import { readCertificatesPem } from "./pem.js";
import type { SvidMaterial } from "./snapshot.js";
import { permanentReasons, type Schedule, SnapshotSource } from "./snapshot-source.js";
import { requireTrustDomain, type SpiffeId } from "./spiffe-id.js";
import { codeOf } from "./state-file.js";
import { verifyLeaf } from "./verify.js";
import { watchDirectories } from "./watch.js";

/** Options of {@link createFilesSource}. */
export interface FilesSourceOptions {
  /** PEM file: the leaf, then intermediates. */
  readonly cert: string;
  /** PEM file: the private key, without passphrase. */
  readonly key: string;
  /** PEM file: the roots of the SVID's own trust domain. */
  readonly bundle: string;
  /** PEM files with the roots of other trust domains, by trust domain. @defaultValue none */
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
const maxFileBytes = 1 << 20;
const readAttempts = 5;
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
      bundles.set(name, { trustDomain: name, roots: readCertificatesPem(federated[index]!) });
    });
    bundles.set(trustDomain, { trustDomain, roots: readCertificatesPem(bundle!) });
    return { chain, key: importPrivateKey(key!), bundles };
  }
}

/** Reads files as of one moment: the links on the way to them must lead to the same places before and after. */
async function readTogether(paths: readonly string[], secret: string | null): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const before = await Promise.all(paths.map((path) => realpath(path)));
      const contents: string[] = [];
      for (const [index, path] of before.entries()) contents.push(await readBounded(path, paths[index] === secret));
      const after = await Promise.all(paths.map((path) => realpath(path)));
      if (before.every((path, index) => path === after[index])) return contents;
      if (attempt >= readAttempts)
        throw new IdentityError("file-unstable", `${paths.join(", ")} change faster than they can be read`);
    } catch (cause) {
      if (IdentityError.is(cause)) throw cause;
      const code = codeOf(cause);
      // A swap between looking and opening also shows as a missing file.
      if (code === "ENOENT" && attempt < readAttempts) continue;
      const path = (cause as { path?: string }).path ?? paths.join(", ");
      throw new IdentityError(code === "ENOENT" ? "file-missing" : "file-unreadable", `cannot read ${path}: ${code}`, {
        cause,
      });
    }
  }
}

async function readBounded(path: string, secret: boolean): Promise<string> {
  const file = await open(path, "r");
  try {
    const { mode, size } = await file.stat();
    if (secret && (mode & 0o007) !== 0) {
      const remedy = `run: chmod 600 ${path} (of a Kubernetes volume: defaultMode: 0400)`;
      throw new IdentityError(
        "file-key-exposed",
        `the private key in ${path} is open to every user of this machine; ${remedy}`,
      );
    }
    if (size > maxFileBytes)
      throw new IdentityError("file-unreadable", `${path} has ${size} bytes, at most ${maxFileBytes} are read`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
