import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFilesSource, type FilesSourceOptions } from "./files-source.js";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import { writeCertificatesPem } from "./pem.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";

const trust = createTestTrust();
let directory = "";
let source: IdentitySource | null = null;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "files-source-"));
});
afterEach(() => {
  source?.close();
  rmSync(directory, { recursive: true });
});

const paths = () => ({
  cert: join(directory, "tls.crt"),
  key: join(directory, "tls.key"),
  bundle: join(directory, "ca.crt"),
});

function write(into = directory, how: { readonly keyMode?: number } = {}): void {
  const files = trust.files(testPeerId);
  writeFileSync(join(into, "tls.key"), files.key, { mode: how.keyMode ?? 0o600 });
  writeFileSync(join(into, "tls.crt"), files.cert);
  writeFileSync(join(into, "ca.crt"), files.bundle);
}

/** Publishes a directory as kubelet does: a new one, and a link to it that is swapped. */
function publish(name: string): void {
  mkdirSync(join(directory, name));
  write(join(directory, name));
  symlinkSync(name, join(directory, "..data_tmp"));
  renameSync(join(directory, "..data_tmp"), join(directory, "..data"));
}

function open(options: Partial<FilesSourceOptions> = {}): IdentitySource {
  source = createFilesSource({ ...paths(), pollMs: 20, production: false, ...options });
  return source;
}

function next(from: IdentitySource): Promise<IdentitySnapshot> {
  return new Promise((resolve) => {
    const end = from.subscribe((snapshot) => {
      end();
      resolve(snapshot);
    });
  });
}

function nextFailure(from: IdentitySource): Promise<Error> {
  return new Promise((resolve) => {
    const end = from.onFailure((error) => {
      end();
      resolve(error);
    });
  });
}

describe("the files source", () => {
  test("reads an SVID, its key and its bundle", async () => {
    write();
    const snapshot = await open({ id: testPeerId }).ready();
    expect([snapshot.id, [...snapshot.bundles.keys()]]).toEqual([testPeerId, ["a.example"]]);
  });

  test("reads federated bundles", async () => {
    write();
    writeFileSync(join(directory, "b.pem"), writeCertificatesPem(trust.b.bundle.roots));
    const snapshot = await open({ federated: { "b.example": join(directory, "b.pem") } }).ready();
    expect([...snapshot.bundles.keys()].sort()).toEqual(["a.example", "b.example"]);
    expect(() => open({ federated: { ".example": "x" } })).toThrow(/trust domain/);
  });

  test("follows the swaps of a Kubernetes volume, each once", async () => {
    publish("..2026_1");
    for (const name of ["tls.crt", "tls.key", "ca.crt"]) symlinkSync(join("..data", name), join(directory, name));
    const opened = open();
    let last = await opened.ready();
    for (let round = 2; round < 6; round++) {
      const coming = next(opened);
      publish(`..2026_${round}`);
      rmSync(join(directory, `..2026_${round - 1}`), { recursive: true });
      const snapshot = await coming;
      expect(snapshot.generation).toBe(last.generation + 1);
      expect(snapshot.leaf).not.toEqual(last.leaf);
      last = snapshot;
    }
  });

  test("keeps the last good pair until the new one is whole", async () => {
    write();
    const opened = open();
    const first = await opened.ready();
    const files = trust.files(testPeerId);
    const failing = nextFailure(opened);
    writeFileSync(paths().cert, files.cert);
    expect(await failing).toMatchObject({ reason: "svid-key-mismatch" });
    expect(opened.current).toBe(first);
    const coming = next(opened);
    writeFileSync(paths().key, files.key);
    expect((await coming).generation).toBe(2);
  });

  test.each([
    [
      "a cut certificate",
      () => writeFileSync(paths().cert, trust.files(testPeerId).cert.slice(0, -30)),
      "pem-malformed",
    ],
    ["a missing bundle", () => unlinkSync(paths().bundle), "file-missing"],
    ["an empty bundle", () => writeFileSync(paths().bundle, ""), "bundle-empty"],
    [
      "a key that is none",
      () => writeFileSync(paths().key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
      "key-malformed",
    ],
    ["a huge file", () => writeFileSync(paths().cert, "x".repeat(2 << 20)), "file-unreadable"],
    [
      "a directory",
      () => {
        unlinkSync(paths().cert);
        mkdirSync(paths().cert);
      },
      "file-unreadable",
    ],
  ])("keeps the last good SVID in face of %s, and recovers", async (_name, spoil, reason) => {
    write();
    const opened = open();
    const first = await opened.ready();
    const failing = nextFailure(opened);
    spoil();
    expect(await failing).toMatchObject({ reason });
    expect(opened.current).toBe(first);
    const coming = next(opened);
    rmSync(paths().cert, { recursive: true });
    write();
    expect((await coming).generation).toBe(2);
  });

  test("waits for files that are not there yet", async () => {
    const opened = open();
    const ready = opened.ready();
    expect(await nextFailure(opened)).toMatchObject({ reason: "file-missing" });
    write();
    expect((await ready).id).toBe(testPeerId);
  });

  test("in production refuses a key that others may read, and says how to cure it", async () => {
    write();
    chmodSync(paths().key, 0o644);
    await expect(open({ production: true }).ready()).rejects.toThrow(/chmod 600 .*tls\.key/);
    source?.close();
    expect((await open({ production: false }).ready()).id).toBe(testPeerId);
    source?.close();
    chmodSync(paths().key, 0o640);
    expect((await open({ production: true }).ready()).id).toBe(testPeerId);
  });
});
