import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createJoinToken,
  listJoinTokens,
  readTrustDomain,
  revokeJoinToken,
  SpiffeId,
  sweepJoinTokens,
} from "@selvage/core/spi";
import { durationFlag } from "./duration-flag.js";

interface TokenFlags {
  readonly directory: string;
  readonly joinTokens?: string;
}

/** `selvage identity token create`. Nothing but the token goes to standard output. */
export async function createToken(
  flags: TokenFlags & { readonly id: string; readonly lifetime: string; readonly output?: string },
): Promise<void> {
  const id = SpiffeId.parse(flags.id);
  const lifetimeMs = durationFlag("--lifetime", flags.lifetime);
  if (flags.joinTokens === undefined) {
    const trustDomain = await readTrustDomain(flags.directory);
    if (id.trustDomain !== trustDomain)
      throw new Error(
        `--id must be of ${trustDomain}, the trust domain of ${flags.directory}, got ${JSON.stringify(flags.id)}`,
      );
  }
  const directory = directoryOf(flags);
  const now = Date.now();
  await sweepJoinTokens(directory, now);
  const token = await createJoinToken(directory, { id, now, lifetimeMs });
  if (flags.output === undefined) {
    process.stdout.write(`${token}\n`);
    return;
  }
  try {
    await writeFile(flags.output, `${token}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    await revokeJoinToken(directory, token);
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`--output: cannot write ${flags.output} (${code})${code === "EEXIST" ? "; remove it first" : ""}`);
  }
  process.stdout.write(`A token for ${id} is in ${flags.output}. It serves once, until ${time(now + lifetimeMs)}.\n`);
}

/** `selvage identity token list` */
export async function listTokens(flags: TokenFlags & { readonly json?: true }): Promise<void> {
  const tokens = await listJoinTokens(directoryOf(flags));
  if (flags.json) {
    const plain = tokens.map(({ name, id, expiresAt }) => ({
      name,
      id: id.toString(),
      expiresAt: new Date(expiresAt),
    }));
    process.stdout.write(`${JSON.stringify(plain, null, 2)}\n`);
    return;
  }
  if (tokens.length === 0) process.stderr.write(`No join tokens are in ${directoryOf(flags)}.\n`);
  for (const { name, id, expiresAt } of tokens) {
    const end = expiresAt <= Date.now() ? "expired" : "until";
    process.stdout.write(`${name}  ${end.padEnd(8)}${time(expiresAt)}  ${id}\n`);
  }
}

/** `selvage identity token revoke` */
export async function revokeToken(name: string, flags: TokenFlags): Promise<void> {
  if (!(await revokeJoinToken(directoryOf(flags), name)))
    throw new Error(
      `no join token ${JSON.stringify(name.slice(0, 12))} is in ${directoryOf(flags)}; it may have been used, see: selvage identity token list`,
    );
  process.stdout.write("The token is of no use any more.\n");
}

function directoryOf(flags: TokenFlags): string {
  return flags.joinTokens ?? join(flags.directory, "join-tokens");
}

function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
