import { createHash, randomBytes } from "node:crypto";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { IdentityError } from "../identity-error.js";
import { joinTokenPrefix } from "../join-token.js";
import { SpiffeId } from "../spiffe-id.js";
import { codeOf, createFile, readFileIfAny, syncDirectory } from "../state-file.js";
import type { Authenticator } from "./caller.js";

const tokenPattern = /^selvage-join\.[A-Za-z0-9_-]{43}$/;
const namePattern = /^[0-9a-f]{64}\.json$/;

/** How much of its hash a token is called by. */
const nameChars = 12;

/** A join token's terms. */
export interface JoinTokenTerms {
  readonly id: SpiffeId;
  readonly now: number;
  /** How long the token can be used. */
  readonly lifetimeMs: number;
}

/**
 * Makes a token with which a workload can get one certificate for one id, once. The directory keeps only its hash, in a 0600 file.
 */
export async function createJoinToken(directory: string, terms: JoinTokenTerms): Promise<string> {
  const token = joinTokenPrefix + randomBytes(32).toString("base64url");
  const content = JSON.stringify({ id: terms.id.toString(), expiresAt: terms.now + terms.lifetimeMs });
  await createFile(join(directory, fileName(token)), content);
  return token;
}

/** A join token that has not been used. */
export interface JoinTokenSummary {
  /** By which audits name it, and {@link revokeJoinToken} finds it. Not the token, and not enough to make one. */
  readonly name: string;
  readonly id: SpiffeId;
  /** Milliseconds since 1970; may have passed. */
  readonly expiresAt: number;
}

/** The join tokens of a directory, soonest to end first. Files that are no tokens are skipped. */
export async function listJoinTokens(directory: string): Promise<JoinTokenSummary[]> {
  const found: JoinTokenSummary[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const text = namePattern.test(name) ? await readFileIfAny(join(directory, name)) : null;
    const terms = text === null ? null : readTerms(text);
    if (terms !== null) found.push({ name: name.slice(0, nameChars), ...terms });
  }
  return found.sort((a, b) => a.expiresAt - b.expiresAt);
}

/** Takes a join token back, by its name or by the token itself. False if there is none: it may have been used. */
export async function revokeJoinToken(directory: string, nameOrToken: string): Promise<boolean> {
  const start = tokenPattern.test(nameOrToken) ? fileName(nameOrToken) : nameOrToken;
  // A name that is cut short could mean another token than the one that was meant.
  if (!/^[0-9a-f]{12}/.test(start)) return false;
  const names = await readdir(directory).catch(() => []);
  const matches = names.filter((name) => namePattern.test(name) && name.startsWith(start));
  if (matches.length !== 1) return false;
  try {
    await unlink(join(directory, matches[0]!));
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return false;
    throw new IdentityError("file-write", `cannot remove ${join(directory, matches[0]!)}: ${codeOf(cause)}`, { cause });
  }
  await syncDirectory(directory);
  return true;
}

/** Removes the tokens that have expired; returns how many. */
export async function sweepJoinTokens(directory: string, now: number): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  let swept = 0;
  for (const name of names) {
    if (!namePattern.test(name)) continue;
    const text = await readFileIfAny(join(directory, name));
    if (text === null || (readTerms(text)?.expiresAt ?? 0) > now) continue;
    await unlink(join(directory, name)).catch(() => {});
    swept++;
  }
  return swept;
}

/**
 * Believes join tokens. Of many calls with one token, also to several processes with one directory, one is served: the file is
 * removed, and the removal made durable, before a certificate is made. A crash in between costs the token.
 */
export function createJoinTokenAuthenticator(directory: string, now: () => number = Date.now): Authenticator {
  return {
    authenticate: async (token) => {
      if (!token.startsWith(joinTokenPrefix)) return null;
      if (!tokenPattern.test(token)) throw refused();
      const path = join(directory, fileName(token));
      const text = await readFileIfAny(path);
      const terms = text === null ? null : readTerms(text);
      if (terms === null || terms.expiresAt <= now()) throw refused();
      return {
        kind: "join-token",
        subject: fileName(token).slice(0, nameChars),
        attributes: {},
        entitledTo: terms.id,
        redeem: async () => {
          try {
            await unlink(path);
          } catch (cause) {
            if (codeOf(cause) === "ENOENT") throw refused();
            throw new IdentityError("file-write", `cannot use up the join token in ${path}: ${codeOf(cause)}`, {
              cause,
            });
          }
          await syncDirectory(directory);
        },
      };
    },
  };
}

function fileName(token: string): string {
  return `${createHash("sha256").update(token).digest("hex")}.json`;
}

function readTerms(text: string): { readonly id: SpiffeId; readonly expiresAt: number } | null {
  try {
    const { id, expiresAt } = JSON.parse(text) as { id?: unknown; expiresAt?: unknown };
    if (typeof id !== "string" || typeof expiresAt !== "number") return null;
    return { id: SpiffeId.parse(id), expiresAt };
  } catch {
    return null;
  }
}

// One message for all: a caller learns nothing about tokens that it does not hold.
function refused(): IdentityError {
  return new IdentityError("token-refused", "the join token is unknown, used or expired");
}
