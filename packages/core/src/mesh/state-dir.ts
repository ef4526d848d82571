import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/**
 * Where the embedded default keeps its authority and its registry when nothing says so: the nearest `.selvage` directory
 * upwards, else `.selvage` beside the nearest `.git`, else beside the nearest `package.json`, else in the working
 * directory. Processes of one project so agree on it wherever in the project they start.
 */
export function defaultStateDir(cwd: string): string {
  const found = upwards(cwd, (directory) => isDirectory(join(directory, ".selvage")));
  if (found) return join(found, ".selvage");
  const project =
    upwards(cwd, (directory) => existsSync(join(directory, ".git"))) ??
    upwards(cwd, (directory) => existsSync(join(directory, "package.json"))) ??
    resolve(cwd);
  return join(project, ".selvage");
}

function upwards(from: string, test: (directory: string) => boolean): string | null {
  let directory = resolve(from);
  for (;;) {
    if (test(directory)) return directory;
    const parent = dirname(directory);
    if (parent === directory) return null;
    directory = parent;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
