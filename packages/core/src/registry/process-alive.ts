import { readFileSync } from "node:fs";

/**
 * When a process started, in a form that tells it from a later process with the same id: clock ticks since boot on Linux
 * (proc(5), field 22), empty elsewhere, where only the id is known.
 */
export function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** Whether that very process still runs. A process of another user counts as running. */
export function processAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const now = processStart(pid);
  return start === "" || now === "" || now === start;
}
