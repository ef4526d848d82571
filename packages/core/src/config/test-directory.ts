import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshConfig } from "./config.js";
import { ConfigError } from "./config-error.js";
import { loadConfig } from "./load.js";
import type { MeshOptions } from "./options.js";

/** For tests: an empty working directory, and what `loadConfig` makes of what is put into it. */
export class TestDirectory {
  readonly path = mkdtempSync(join(tmpdir(), "selvage-config-"));

  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }

  load(options: MeshOptions = {}, env: Record<string, string> = {}): MeshConfig {
    return loadConfig({ options, env, cwd: this.path });
  }

  /** The lines of the error with which the configuration is refused. */
  errorsOf(options: unknown, env: Record<string, string> = {}): string[] {
    try {
      loadConfig({ options: options as MeshOptions, env, cwd: this.path });
    } catch (error) {
      if (error instanceof ConfigError) return error.message.split("\n");
      throw error;
    }
    throw new Error("the configuration was accepted");
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
