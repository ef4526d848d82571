import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFile, readFileIfAny, replaceFile } from "./state-file.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "state-file-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a replaced file is the owner's alone, even if the old one was everybody's", async () => {
  const path = join(directory, "state");
  writeFileSync(path, "old");
  chmodSync(path, 0o644);
  await replaceFile(path, "new");
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777, readdirSync(directory)]).toEqual([
    "new",
    0o600,
    ["state"],
  ]);
});

test("of many who create one file, one wins, and its content stays", async () => {
  const path = join(directory, "deep", "state");
  const won = await Promise.all(Array.from({ length: 50 }, (_, n) => createFile(path, `content ${n}`)));
  expect(won.filter(Boolean)).toHaveLength(1);
  expect(readFileSync(path, "utf8")).toBe(`content ${won.indexOf(true)}`);
  expect([readdirSync(join(directory, "deep")), statSync(join(directory, "deep")).mode & 0o777]).toEqual([
    ["state"],
    0o700,
  ]);
});

test("a missing file is null, an unreadable one an error", async () => {
  expect(await readFileIfAny(join(directory, "none"))).toBeNull();
  await expect(readFileIfAny(directory)).rejects.toMatchObject({ reason: "file-unreadable" });
});

test("a failed write says where and what to do", async () => {
  writeFileSync(join(directory, "file"), "");
  await expect(replaceFile(join(directory, "file", "state"), "")).rejects.toMatchObject({ reason: "file-write" });
});
