import { checkDocument, type DocumentPath, pathText } from "@selvage/policy";
import type { EndpointConfig, EndpointProtocol } from "../config/config.js";
import { checkEndpointList } from "../config/config-checks.js";
import { ConfigError, type ConfigProblem } from "../config/config-error.js";
import { readConfigFile } from "../config/config-file.js";
import { endpointListSchema } from "../config/outbound-schema.js";
import { resolveEndpoint } from "../config/resolve-service.js";
import { watchFile } from "../mesh/file-watch.js";
import { endpointAddress } from "./endpoint-address.js";
import type { Resolver, ResolverListener, ResolverWatch } from "./resolver.js";

export interface FileResolverOptions {
  /** Absolute. */
  readonly file: string;
  /** Of endpoints that name none; `null`: they are plain. */
  readonly identity: string | null;
  /** Of plain endpoints that name none. */
  readonly protocol: EndpointProtocol;
  /** How often the file is looked at, for where events don't work. @defaultValue 1000 */
  readonly intervalMs?: number;
}

/**
 * Endpoints from a YAML or JSON file, in the shape of the configuration's list of endpoints; `[]` says that there are none.
 * Read again when it changes. A file that is missing or can't be used leaves those of the last good one in force, and is
 * reported with its path, the place in it, the value, and the remedy.
 */
export class FileResolver implements Resolver {
  readonly #options: FileResolverOptions;

  constructor(options: FileResolverOptions) {
    this.#options = options;
  }

  watch(listener: ResolverListener): ResolverWatch {
    const { file, intervalMs } = this.#options;
    let closed = false;
    const read = () => {
      if (closed) return;
      try {
        listener.onUpdate(this.#read().map(endpointAddress));
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        listener.onFailure(error);
      }
    };
    // Watched before it is read: what changes in between is not missed.
    const watch = watchFile(file, read, intervalMs);
    read();
    return {
      close() {
        closed = true;
        watch.close();
      },
    };
  }

  #read(): readonly EndpointConfig[] {
    const { file, identity, protocol } = this.#options;
    const read = readConfigFile(file, process.cwd());
    const checked = checkDocument(endpointListSchema(), read.value);
    const problems: ConfigProblem[] = [];
    if (!checked.ok) {
      for (const problem of checked.problems) problems.push({ ...problem, where: read.locate(problem.keys) });
      throw new ConfigError(problems);
    }
    const list = checked.value.map((entry) => resolveEndpoint(entry, identity, protocol));
    const refuse = (keys: DocumentPath, value: unknown, problem: string, remedy: string) =>
      problems.push({ keys, path: pathText(keys), value, problem, remedy, where: read.locate(keys) });
    checkEndpointList(list, [], refuse);
    if (problems.length > 0) throw new ConfigError(problems);
    return list;
  }
}
