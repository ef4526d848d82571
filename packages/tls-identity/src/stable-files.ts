import { open, realpath } from "node:fs/promises";
import { IdentityError } from "./identity-error.js";
import { codeOf } from "./state-file.js";

const maxFileBytes = 1 << 20;
const readAttempts = 5;

/**
 * Reads files as of one moment: the links on the way to them must lead to the same places before and after, so that a Kubernetes
 * volume is not read across the swap of its `..data` link. With `secret`, that one of them must not be open to others.
 *
 * Throws `file-missing`, `file-unreadable`, `file-unstable` or `file-key-exposed`.
 */
export async function readTogether(paths: readonly string[], secret: string | null = null): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const before = await Promise.all(paths.map((path) => realpath(path)));
      const contents: string[] = [];
      for (const [index, path] of before.entries()) contents.push(await readBounded(path, paths[index] === secret));
      const after = await Promise.all(paths.map((path) => realpath(path)));
      if (before.every((path, index) => path === after[index])) return contents;
      if (attempt >= readAttempts)
        throw new IdentityError("file-unstable", `${paths.join(", ")} change faster than they can be read`);
    } catch (cause) {
      if (IdentityError.is(cause)) throw cause;
      const code = codeOf(cause);
      // A swap between looking and opening also shows as a missing file.
      if (code === "ENOENT" && attempt < readAttempts) continue;
      const path = (cause as { path?: string }).path ?? paths.join(", ");
      throw new IdentityError(code === "ENOENT" ? "file-missing" : "file-unreadable", `cannot read ${path}: ${code}`, {
        cause,
      });
    }
  }
}

async function readBounded(path: string, secret: boolean): Promise<string> {
  const file = await open(path, "r");
  try {
    const { mode, size } = await file.stat();
    if (secret && (mode & 0o007) !== 0) {
      const remedy = `run: chmod 600 ${path} (of a Kubernetes volume: defaultMode: 0400)`;
      throw new IdentityError(
        "file-key-exposed",
        `the private key in ${path} is open to every user of this machine; ${remedy}`,
      );
    }
    if (size > maxFileBytes)
      throw new IdentityError("file-unreadable", `${path} has ${size} bytes, at most ${maxFileBytes} are read`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
