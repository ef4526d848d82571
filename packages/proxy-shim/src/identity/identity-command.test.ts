import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { identityCommand } from "./identity-command.js";

let directory = "";
let written = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "identity-command-"));
  written = "";
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    written += String(chunk);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  rmSync(directory, { recursive: true, force: true });
});

async function selvage(...args: string[]): Promise<string> {
  written = "";
  await identityCommand()
    .exitOverride()
    .parseAsync(["node", "identity", ...args]);
  return written;
}

const authority = () => join(directory, "authority");
const id = "spiffe://prod.example/ns/shop/sa/storefront";

test("an authority is made once, shown, and its issuer and root are changed", async () => {
  const made = await selvage("init", "-t", "prod.example", "-d", authority());
  expect(made).toContain("An authority for prod.example");
  expect(statSync(join(authority(), "root.pem")).mode & 0o777).toBe(0o600);
  await expect(selvage("init", "-t", "prod.example", "-d", authority())).rejects.toThrow(/is there already; remove/);
  const before = readFileSync(join(authority(), "issuer.pem"), "utf8");
  expect(await selvage("rotate-issuer", "-d", authority())).toContain("The issuer is new");
  expect(readFileSync(join(authority(), "issuer.pem"), "utf8")).not.toBe(before);
  expect(await selvage("rotate-root", "prepare", "-d", authority())).toMatch(/next-root .*Both roots/s);
  expect(await selvage("rotate-root", "activate", "-d", authority())).toContain("below the new root");
  await expect(selvage("rotate-root", "finish", "-d", authority())).rejects.toThrow(/finish after that/);
  expect((await selvage("inspect", authority())).match(/nothing is wrong/g)).toHaveLength(4);
});

test("a directory without an authority is said to be that", async () => {
  await expect(selvage("rotate-issuer", "-d", authority())).rejects.toThrow(/root.pem is missing; .*identity init/);
  await expect(selvage("inspect", directory)).rejects.toThrow(/no authority in this directory/);
});

test("join tokens are made, listed without showing them, and taken back", async () => {
  await selvage("init", "-t", "prod.example", "-d", authority());
  const token = (await selvage("token", "create", "-d", authority(), "--id", id)).trim();
  expect(token).toMatch(/^selvage-join\.[\w-]{43}$/);
  const list = JSON.parse(await selvage("token", "list", "-d", authority(), "--json"));
  expect(list).toEqual([{ name: expect.stringMatching(/^[0-9a-f]{12}$/), id, expiresAt: expect.any(String) }]);
  const file = join(directory, "token");
  expect(await selvage("token", "create", "-d", authority(), "--id", id, "-o", file)).not.toContain("selvage-join");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await selvage("token", "revoke", "-d", authority(), list[0].name);
  await selvage("token", "revoke", "-d", authority(), readFileSync(file, "utf8").trim());
  expect(JSON.parse(await selvage("token", "list", "-d", authority(), "--json"))).toEqual([]);
  await expect(selvage("token", "revoke", "-d", authority(), list[0].name)).rejects.toThrow(/may have been used/);
});

test("a token is only for an id of the authority, and leaves nothing where its file can't be written", async () => {
  await selvage("init", "-t", "prod.example", "-d", authority());
  const create = (...args: string[]) => selvage("token", "create", "-d", authority(), ...args);
  await expect(create("--id", "spiffe://other.example/x")).rejects.toThrow(/must be of prod.example/);
  await expect(create("--id", id, "--lifetime", "3")).rejects.toThrow(/--lifetime must be a duration, got "3"/);
  await expect(create("--id", id, "-o", authority())).rejects.toThrow(/--output: cannot write/);
  expect(JSON.parse(await selvage("token", "list", "-d", authority(), "--json"))).toEqual([]);
});

test("inspecting says what is wrong, where, and by the exit status", async () => {
  const file = join(directory, "x.pem");
  writeFileSync(file, "nothing of the kind");
  await expect(selvage("inspect", file)).rejects.toThrow(/x.pem: it is neither PEM, nor DER/);
  await expect(selvage("inspect", join(directory, "gone.pem"))).rejects.toThrow(
    /cannot be read \(ENOENT\); name a file/,
  );
  await expect(selvage("inspect", "127.0.0.1:1")).rejects.toThrow(/127.0.0.1:1: nobody listens there \(ECONNREFUSED\)/);
  await expect(selvage("inspect", "https://127.0.0.1:1")).rejects.toThrow(/nobody listens there/);
  await expect(selvage("inspect", "https://127.0.0.1:1/bundle")).rejects.toThrow(/name 127.0.0.1:1 .* inspect -$/);
  await selvage("init", "-t", "prod.example", "-d", authority());
  const [found] = JSON.parse(await selvage("inspect", join(authority(), "issuer.pem"), "--json"));
  expect(found.inspections[0]).toMatchObject({ what: "authority", problems: [] });
  expect(process.exitCode).toBeUndefined();
  await selvage("inspect", join(authority(), "issuer.pem"), "--id", id);
});

test("flags of serve that make no sense together are refused", async () => {
  await expect(selvage("serve", "--jwks", "keys.json")).rejects.toThrow(/--issuer .* belong together/);
  await expect(selvage("serve", "-d", authority())).rejects.toThrow(/root.pem is missing/);
  const config = join(directory, "identity.yaml");
  writeFileSync(config, "directory: authority\nlifetme: 1h\njwt:\n  - issuer: x\n    keys: http://x\n");
  await expect(selvage("serve", "-c", config)).rejects.toThrow(/identity.yaml:2:1: lifetme .*lifetime/);
  await expect(selvage("serve", "-c", config)).rejects.toThrow(/keys must not be plaintext/);
});
