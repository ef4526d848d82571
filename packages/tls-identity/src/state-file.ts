import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { IdentityError } from "./identity-error.js";

const onlyOwner = 0o600;

/**
 * Writes a file that by default only its owner may read so that other processes see the old content or the new one, whole, also
 * after a crash. Makes the directory (0700) if it is missing. Throws `file-write`.
 */
export async function replaceFile(path: string, content: string | Uint8Array, mode = onlyOwner): Promise<void> {
  await written(path, async () => {
    const draft = await writeDraft(path, content, mode);
    try {
      await rename(draft, path);
    } catch (error) {
      await unlink(draft).catch(() => {});
      throw error;
    }
    await syncDirectory(dirname(path));
  });
}

/**
 * As {@link replaceFile}, but only if there is no such file; of many processes that try at once, one wins. True if it was this one.
 */
export async function createFile(path: string, content: string | Uint8Array): Promise<boolean> {
  return await written(path, async () => {
    const draft = await writeDraft(path, content, onlyOwner);
    try {
      // Unlike rename, link fails if the name is taken; unlike open with "wx", it brings the whole content with the name.
      await link(draft, path);
      await syncDirectory(dirname(path));
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      throw error;
    } finally {
      await unlink(draft).catch(() => {});
    }
  });
}

/** The content of a file, or null if there is none. Throws `file-unreadable`. */
export async function readFileIfAny(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return null;
    throw new IdentityError("file-unreadable", `cannot read ${path}: ${codeOf(cause)}`, { cause });
  }
}

/** The `code` of a system error. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? error);
}

async function written<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await write();
  } catch (cause) {
    const remedy = "the directory must be writable, on a file system with hard links";
    throw new IdentityError("file-write", `cannot write ${path}: ${codeOf(cause)}; ${remedy}`, { cause });
  }
}

async function writeDraft(path: string, content: string | Uint8Array, mode: number): Promise<string> {
  const draft = join(dirname(path), `.${randomBytes(12).toString("hex")}.draft`);
  // A mode counts only when a file is created, hence always a new one, and less the umask, hence chmod.
  const file = await open(draft, "wx", onlyOwner);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}

/** Makes what was created, renamed or removed in a directory survive a crash. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
