export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where the mesh says rare things: an endpoint ejected, an SVID rotated, rules read again. Never called per request. */
export type Log = (level: LogLevel, event: string, fields?: Readonly<Record<string, unknown>>) => void;

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Writes a line for each event at or above `level` to standard error: `selvage warn identity.renewal-failed reason="…"`. */
export function stderrLog(level: LogLevel = "warn"): Log {
  return (eventLevel, event, fields = {}) => {
    if (rank[eventLevel] < rank[level]) return;
    const rest = Object.entries(fields)
      .map(([name, value]) => ` ${name}=${JSON.stringify(value instanceof Error ? value.message : value)}`)
      .join("");
    process.stderr.write(`selvage ${eventLevel} ${event}${rest}\n`);
  };
}
