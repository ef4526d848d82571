import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where distributions put libfaketime. */
const directories = [
  "/usr/lib/faketime",
  "/usr/local/lib/faketime",
  ...["x86_64", "aarch64"].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime`),
];

/**
 * The wall clock of some processes, by libfaketime: JavaScript's and OpenSSL's both, so that certificates are checked by it. The
 * monotonic clock goes on as it did, as it does when a machine's clock is set.
 */
export class WallClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  private constructor(library: string, file: string) {
    this.#file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      // Seconds after which the file is read again.
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
    this.jumpTo(0);
  }

  /** `null`: libfaketime isn't installed. */
  static create(directory: string, name: string): WallClock | null {
    const library = directories.map((one) => join(one, "libfaketimeMT.so.1")).find((path) => existsSync(path));
    return library === undefined ? null : new WallClock(library, join(directory, `${name}.clock`));
  }

  /** So far from the truth. Takes effect within a second. */
  jumpTo(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }
}
