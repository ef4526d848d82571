import type { MeshConfig, RouteConfig, ServiceSettings } from "../config/config.js";
import { ConfigError } from "../config/config-error.js";
import { loadRoutes } from "../config/load-routes.js";
import { watchFile } from "./file-watch.js";
import type { Log } from "./log.js";

export interface RouteFileParts {
  readonly config: MeshConfig;
  readonly log: Log;
  /** How often the file is looked at, for where events don't work. @defaultValue 1000 */
  readonly intervalMs?: number;
}

/**
 * Routes that stand in a file of their own, for the authorities with one set of settings. Read again when it changes, while
 * somebody watches; one that can't be used leaves the last good routes in force, and is reported with its path, the place in it,
 * and the remedy.
 */
export class RouteFile {
  readonly #file: string;
  readonly #settings: ServiceSettings;
  readonly #parts: RouteFileParts;
  readonly #listeners = new Set<(routes: readonly RouteConfig[]) => void>();
  #routes: readonly RouteConfig[];
  #watch: { close(): void } | null = null;

  constructor(file: string, settings: ServiceSettings, parts: RouteFileParts) {
    this.#file = file;
    this.#settings = settings;
    this.#parts = parts;
    this.#routes = settings.routes;
  }

  /** The last good ones. */
  get routes(): readonly RouteConfig[] {
    return this.#routes;
  }

  /** Calls back with all routes whenever they may have changed since `routes` was asked for, at once too. */
  watch(listener: (routes: readonly RouteConfig[]) => void): { close(): void } {
    this.#listeners.add(listener);
    if (this.#watch === null) {
      // Watched before it is read: what changes in between is not missed.
      this.#watch = watchFile(this.#file, () => this.#read(true), this.#parts.intervalMs);
      this.#read(false);
    }
    return {
      close: () => {
        this.#listeners.delete(listener);
        if (this.#listeners.size > 0) return;
        this.#watch?.close();
        this.#watch = null;
      },
    };
  }

  #read(changed: boolean): void {
    const { config, log } = this.#parts;
    const file = this.#file;
    try {
      this.#routes = loadRoutes(file, this.#settings, config, process.cwd());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log("error", "routes.rejected", { file, error, inForce: "the last good routes" });
      return;
    }
    for (const listener of this.#listeners) listener(this.#routes);
    if (!changed) return;
    const faults = this.#routes.filter(({ fault }) => fault !== null).length;
    log(faults > 0 ? "warn" : "info", "routes.reloaded", { file, routes: this.#routes.length, faults });
  }
}
