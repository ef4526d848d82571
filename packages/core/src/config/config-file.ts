import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import type { DocumentPath } from "@selvage/policy";
import { isMap, isNode, LineCounter, parseDocument } from "yaml";
import { ConfigError } from "./config-error.js";

/** A YAML file that was read: its value, and where in it a field stands. */
export interface ConfigFile {
  readonly path: string;
  readonly directory: string;
  /** What the file says; an empty file says nothing. */
  readonly value: unknown;
  /** `selvage.yaml:3:5`, of the field or of what is nearest around it. */
  locate(keys: DocumentPath): string;
}

/**
 * Reads a YAML 1.2 file. Duplicate keys, unknown tags and broken syntax are errors with line and column.
 *
 * @throws ConfigError
 */
export function readConfigFile(path: string, cwd: string): ConfigFile {
  const absolute = resolve(cwd, path);
  const name = displayName(absolute, cwd);
  let text: string;
  try {
    text = readFileSync(absolute, "utf8");
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new ConfigError([
      { keys: [], path: "", where: name, value: undefined, problem: `cannot be read (${reason})`, remedy: "" },
    ]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const failures = [...document.errors, ...document.warnings];
  if (failures.length > 0) {
    const about = { keys: [], path: "", value: undefined, remedy: "" };
    throw new ConfigError(
      failures.map((failure) => ({
        ...about,
        where: at(failure.pos[0]),
        problem: `is not valid YAML (${failure.message})`,
      })),
    );
  }
  let value: unknown;
  try {
    value = document.toJS() ?? {};
  } catch (error) {
    const problem = `is not usable YAML (${(error as Error).message})`;
    throw new ConfigError([{ keys: [], path: "", where: name, value: undefined, problem, remedy: "" }]);
  }
  return {
    path: absolute,
    directory: dirname(absolute),
    value,
    locate(keys) {
      let offset: number | undefined;
      let here: unknown = document.contents;
      for (const [i, key] of keys.entries()) {
        const pair = isMap(here)
          ? here.items.find((item) => isNode(item.key) && String(item.key) === String(key))
          : undefined;
        here = document.getIn(keys.slice(0, i + 1), true);
        const node = isNode(pair?.key) ? pair.key : here;
        if (!isNode(node) || !node.range) break;
        offset = node.range[0];
      }
      return offset === undefined ? name : at(offset);
    },
  };
}

/** Relative when that's shorter to read. */
function displayName(absolute: string, cwd: string): string {
  const short = relative(cwd, absolute);
  return short === "" || short.startsWith("..") ? absolute : short;
}

/** The file to read: the one that is named, else `SELVAGE_CONFIG`, else `selvage.yaml` in the directory if there is one. */
export function findConfigFile(file: string | undefined, variable: string | undefined, cwd: string): string | null {
  if (file !== undefined) return file;
  if (variable !== undefined && variable !== "") return variable;
  return existsSync(resolve(cwd, "selvage.yaml")) ? "selvage.yaml" : null;
}
