import {
  type FSWatcher,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { EndpointAddress, Resolver, ResolverListener } from "../resolver/resolver.js";
import { processAlive, processStart } from "./process-alive.js";
import { parseRegistryEntry, type RegistryEntry } from "./registry-entry.js";

export interface LocalRegistryOptions {
  /** The directory that the processes share. Created when missing, for this user only. */
  readonly directory: string;
  /**
   * How often the directory is read again, in milliseconds. File events make changes visible sooner where they work;
   * only the reading finds endpoints whose process died.
   * @defaultValue 1000
   */
  readonly intervalMs?: number;
  /** Told of files that can't be used. The rest of the registry stays in force. */
  readonly onProblem?: (message: string) => void;
}

/** What `LocalRegistry.register` gives: ends the registration, at once and synchronously. */
export interface Registration {
  remove(): void;
}

/**
 * How processes on one machine find each other by service name, without a server: a directory with a file for each
 * port that is served. Crash-safe: an entry counts only while the very process that wrote it runs, and whoever
 * reads the directory removes what the dead left behind. It does not cross machines, containers or users.
 */
export class LocalRegistry {
  readonly #directory: string;
  readonly #intervalMs: number;
  readonly #onProblem: (message: string) => void;
  readonly #watches = new Set<RegistryWatch>();
  readonly #reported = new Set<string>();
  readonly #own = new Set<string>();
  #count = 0;
  #timer: NodeJS.Timeout | null = null;
  #events: FSWatcher | null = null;
  #soon: NodeJS.Immediate | null = null;
  readonly #onExit = () => {
    for (const path of this.#own) rmSync(path, { force: true });
  };

  constructor(options: LocalRegistryOptions) {
    this.#directory = options.directory;
    this.#intervalMs = options.intervalMs ?? 1000;
    this.#onProblem = options.onProblem ?? (() => {});
  }

  /** Says that this process serves `authority` at `address` (`host:port`) as `identity`. */
  register(authority: string, address: string, identity: string): Registration {
    const entry: RegistryEntry = {
      version: 1,
      authority,
      address,
      identity,
      pid: process.pid,
      start: processStart(process.pid),
    };
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(
      this.#directory,
      `${process.pid}-${++this.#count}-${address.replace(/[^0-9A-Za-z.]/g, "_")}.json`,
    );
    // Written aside and renamed, so that nobody ever reads half a file.
    writeFileSync(`${path}.tmp`, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
    if (this.#own.size === 0) process.once("exit", this.#onExit);
    this.#own.add(path);
    this.#readSoon();
    return {
      remove: () => {
        if (!this.#own.delete(path)) return;
        rmSync(path, { force: true });
        if (this.#own.size === 0) process.removeListener("exit", this.#onExit);
        this.#readSoon();
      },
    };
  }

  /** A resolver of one authority. */
  resolver(authority: string): Resolver {
    return {
      watch: (listener) => {
        const entry = new RegistryWatch(authority, listener);
        this.#watches.add(entry);
        this.#start();
        this.#deliver(entry, this.#read());
        return {
          close: () => {
            this.#watches.delete(entry);
            if (this.#watches.size === 0) this.#stop();
          },
        };
      },
    };
  }

  /** The authorities that somebody serves now, sorted. */
  authorities(): readonly string[] {
    return [...new Set(this.#read().map((entry) => entry.authority))].sort();
  }

  /** Removes this process's entries and stops watching. */
  close(): void {
    this.#onExit();
    this.#own.clear();
    process.removeListener("exit", this.#onExit);
    this.#watches.clear();
    this.#stop();
  }

  #start(): void {
    if (this.#timer) return;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#timer = setInterval(() => this.#readNow(), this.#intervalMs);
    this.#timer.unref();
    try {
      this.#events = watch(this.#directory, { persistent: false }, () => this.#readSoon());
      this.#events.on("error", () => {});
    } catch {
      // Without file events the timer alone finds changes.
    }
  }

  #stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    if (this.#soon) clearImmediate(this.#soon);
    this.#events?.close();
    this.#timer = this.#soon = this.#events = null;
  }

  #readSoon(): void {
    if (this.#soon || this.#watches.size === 0) return;
    this.#soon = setImmediate(() => this.#readNow());
    this.#soon.unref();
  }

  #readNow(): void {
    this.#soon = null;
    const entries = this.#read();
    for (const entry of this.#watches) this.#deliver(entry, entries);
  }

  #deliver(watched: RegistryWatch, entries: readonly RegistryEntry[]): void {
    const found = entries.filter((entry) => entry.authority === watched.authority);
    const key = JSON.stringify(found);
    if (key === watched.last) return;
    watched.last = key;
    watched.listener.onUpdate(found.map(endpointOf));
    if (found.length === 0) watched.listener.onFailure(new Error(nobody(entries)));
  }

  #read(): RegistryEntry[] {
    let names: string[];
    try {
      names = readdirSync(this.#directory).filter((name) => name.endsWith(".json"));
    } catch {
      return [];
    }
    const entries: RegistryEntry[] = [];
    for (const name of names.sort()) {
      const path = join(this.#directory, name);
      try {
        const entry = parseRegistryEntry(readFileSync(path, "utf8"));
        if (processAlive(entry.pid, entry.start)) entries.push(entry);
        else rmSync(path, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT" || this.#reported.has(path)) continue;
        this.#reported.add(path);
        this.#onProblem(`${path}: ${(error as Error).message}; the entry is left out, remove the file`);
      }
    }
    return entries;
  }
}

function nobody(entries: readonly RegistryEntry[]): string {
  const served = [...new Set(entries.map((entry) => entry.authority))].sort();
  const known = served.length > 0 ? `what is served: ${served.join(", ")}` : "nothing is served";
  return `nobody on this machine serves it (${known}); start it, or add it to outbound.services`;
}

function endpointOf(entry: RegistryEntry): EndpointAddress {
  const colon = entry.address.lastIndexOf(":");
  return {
    host: entry.address.slice(0, colon).replace(/^\[|\]$/g, ""),
    port: Number(entry.address.slice(colon + 1)),
    identity: entry.identity,
  };
}

class RegistryWatch {
  readonly authority: string;
  readonly listener: ResolverListener;
  last = "";

  constructor(authority: string, listener: ResolverListener) {
    this.authority = authority;
    this.listener = listener;
  }
}
