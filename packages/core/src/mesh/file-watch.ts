import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";

/**
 * Calls back when a file may have changed. Looks every second, since events get lost when a file is replaced or mounted from
 * elsewhere; events only make it sooner. Keeps no process alive.
 */
export function watchFile(path: string, onChange: () => void, intervalMs = 1_000): { close(): void } {
  let last = mark(path);
  const look = () => {
    const now = mark(path);
    if (now === last) return;
    last = now;
    onChange();
  };
  const timer = setInterval(look, intervalMs);
  timer.unref();
  let events: FSWatcher | null = null;
  try {
    // The directory: a file that is replaced by rename is another file, and watching the old one goes silent.
    events = watch(dirname(path), { persistent: false }, look);
    events.on("error", () => {});
  } catch {
    // No events on this file system; the timer is enough.
  }
  return {
    close() {
      clearInterval(timer);
      events?.close();
    },
  };
}

function mark(path: string): string {
  try {
    const { ino, mtimeMs, size } = statSync(path);
    return `${ino} ${mtimeMs} ${size}`;
  } catch (error) {
    // Not there, or not for us to see, which may change like its content.
    return (error as NodeJS.ErrnoException).code ?? "";
  }
}
