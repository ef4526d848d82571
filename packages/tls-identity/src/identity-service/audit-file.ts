import { createWriteStream } from "node:fs";

/** Where the audit of an identity service goes. */
export interface AuditFile {
  /** Appends one line. */
  readonly write: (line: string) => void;
  close(): Promise<void>;
}

/**
 * Appends lines to a file (0600 if it is made here). A line is lost only if writing fails, of which `failed` is told; issuing goes on then,
 * since an audit that is full must not stop renewals.
 */
export function openAuditFile(path: string, failed: (error: Error) => void): AuditFile {
  const stream = createWriteStream(path, { flags: "a", mode: 0o600 });
  stream.on("error", failed);
  return {
    write: (line) => {
      stream.write(`${line}\n`);
    },
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}
