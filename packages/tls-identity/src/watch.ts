import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { Schedule } from "./snapshot-source.js";

const settleMs = 50;

/**
 * Calls `changed` soon after something changed in the directories of `paths`. A hint and no more: directories, since a watched
 * file falls silent for good when it is replaced; anything in them, since a Kubernetes volume only shows `..data`; and errors
 * are passed over, since whoever uses this polls as well. Returns the end of the watch.
 */
export function watchDirectories(paths: readonly string[], schedule: Schedule, changed: () => void): () => void {
  let cancel: (() => void) | null = null;
  const hint = () => {
    cancel?.();
    cancel = schedule(settleMs, changed);
  };
  const watchers: FSWatcher[] = [];
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    try {
      const watcher = watch(directory, { persistent: false }, hint);
      watcher.on("error", () => watcher.close());
      watchers.push(watcher);
    } catch {
      // Not there yet, or too many watches.
    }
  }
  return () => {
    cancel?.();
    for (const watcher of watchers) watcher.close();
  };
}
