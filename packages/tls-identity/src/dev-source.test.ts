import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createDevSource, openDevAuthority } from "./dev-source.js";
import { SpiffeId } from "./spiffe-id.js";

const id = SpiffeId.parse("spiffe://dev.example/ns/shop/sa/storefront");
const hour = 3_600_000;

let stateDir = "";
beforeEach(() => {
  stateDir = join(mkdtempSync(join(tmpdir(), "dev-source-")), "state");
});
afterEach(() => rmSync(join(stateDir, ".."), { recursive: true }));

describe("the development source", () => {
  test("issues an SVID for its id, by an authority in a file that only the owner may read", async () => {
    const source = createDevSource({ stateDir, id, production: false });
    const snapshot = await source.ready();
    source.close();
    expect([snapshot.id, snapshot.generation]).toEqual([id, 1]);
    expect(snapshot.notAfter - Date.now()).toBeGreaterThan(23 * hour);
    expect(readdirSync(stateDir)).toEqual(["dev.example.authority.pem"]);
    expect(statSync(join(stateDir, "dev.example.authority.pem")).mode & 0o777).toBe(0o600);
    expect(source.current).toBe(snapshot);
  });

  test("refuses production", async () => {
    const source = createDevSource({ stateDir, id, production: true });
    await expect(source.ready()).rejects.toMatchObject({ reason: "dev-in-production" });
    source.close();
  });

  test("says what to do about a broken file, and leaves it alone", async () => {
    await openDevAuthority(stateDir, "dev.example", { now: Date.now(), lifetimeMs: hour });
    const path = join(stateDir, "dev.example.authority.pem");
    writeFileSync(path, readFileSync(path, "utf8").slice(0, -20));
    await expect(openDevAuthority(stateDir, "dev.example", { now: Date.now(), lifetimeMs: hour })).rejects.toThrow(
      /delete it/,
    );
  });

  test("makes a new issuer before the old one would cut SVIDs short, under the same root", async () => {
    const terms = { now: Date.now(), lifetimeMs: hour };
    const first = await openDevAuthority(stateDir, "dev.example", terms);
    const later = await openDevAuthority(stateDir, "dev.example", {
      ...terms,
      now: first.issuer.certificate.notAfter - hour,
    });
    expect(later.issuer.certificate.raw).not.toEqual(first.issuer.certificate.raw);
    expect(later.root.certificate.raw).toEqual(first.root.certificate.raw);
  });

  test("of twenty processes that start at once, all agree on one authority", async () => {
    const script = join(stateDir, "..", "start.cjs");
    const source = fileURLToPath(new URL("./dev-source.ts", import.meta.url));
    await build({
      stdin: {
        contents: `import { openDevAuthority } from ${JSON.stringify(source)};
          const startAt = Number(process.argv[3]);
          while (Date.now() < startAt);
          openDevAuthority(process.argv[2], "dev.example", { now: Date.now(), lifetimeMs: 3600000 })
            .then(({ root, issuer }) => console.log(root.certificate.serial.toString("hex"), issuer.certificate.serial.toString("hex")));`,
        resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      },
      bundle: true,
      platform: "node",
      format: "cjs",
      outfile: script,
    });
    const startAt = String(Date.now() + 2000);
    const outputs = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const child = spawn(process.execPath, [script, stateDir, startAt], { stdio: ["ignore", "pipe", "inherit"] });
        let output = "";
        child.stdout.on("data", (chunk) => {
          output += chunk;
        });
        await once(child, "close");
        return output.trim();
      }),
    );
    expect(outputs[0]).toMatch(/^[0-9a-f]{32} [0-9a-f]{32}$/);
    expect(new Set(outputs).size).toBe(1);
    expect(readdirSync(stateDir)).toEqual(["dev.example.authority.pem"]);
  });
});
