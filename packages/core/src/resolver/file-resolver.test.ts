import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileResolver } from "./file-resolver.js";
import type { EndpointAddress } from "./resolver.js";

const identity = "spiffe://test/ns/a/sa/inventory";
let directory = "";
let file = "";
let close = () => {};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "selvage-endpoints-"));
  file = join(directory, "endpoints.yaml");
});

afterEach(() => {
  close();
  rmSync(directory, { recursive: true });
});

/** What a resolver of the file told, in order, and the wait for what it tells next. */
function watching() {
  const told: (readonly EndpointAddress[] | string)[] = [];
  let next = () => {};
  const tell = (what: readonly EndpointAddress[] | string) => {
    told.push(what);
    next();
  };
  const watch = new FileResolver({ file, identity, protocol: "h1", intervalMs: 20 }).watch({
    onUpdate: tell,
    onFailure: (error) => tell(error.message),
  });
  close = () => watch.close();
  const more = (count: number) =>
    new Promise<void>((resolve) => {
      next = () => {
        if (told.length >= count) resolve();
      };
      next();
    });
  return { told, more };
}

function replace(text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

test("endpoints are read as the configuration's are, with the identity and protocol of their service", () => {
  replace(`
- 10.0.0.1:4143
- { address: "[fd00::1]:4143", identity: null, zone: b, weight: 3, protocol: h2, labels: { pod: p1 } }
`);
  const { told } = watching();
  expect(told).toEqual([
    [
      { host: "10.0.0.1", port: 4143, identity, weight: 1, attributes: { protocol: "h1" } },
      {
        host: "fd00::1",
        port: 4143,
        identity: null,
        weight: 3,
        zone: "b",
        attributes: { pod: "p1", protocol: "h2" },
      },
    ],
  ]);
});

test("JSON will do", () => {
  replace('[{"address": "10.0.0.1:80"}]');
  expect((watching().told[0] as EndpointAddress[])[0]?.host).toBe("10.0.0.1");
});

test("a change is seen, whether the file is replaced or written over", async () => {
  replace("[10.0.0.1:1]");
  const { told, more } = watching();
  replace("[10.0.0.2:1, 10.0.0.3:1]");
  await more(2);
  writeFileSync(file, "[]");
  await more(3);
  const last = told.at(-1);
  expect(told[1]).toHaveLength(2);
  expect(last).toEqual([]);
});

test("what can't be used is reported, the last good list stays, and the next good one counts", async () => {
  replace("[10.0.0.1:1]");
  const { told, more } = watching();
  replace("\n- 10.0.0.1:1\n- 10.0.0.2\n");
  await more(2);
  expect(told[1]).toBe(`${file}:3:3: [1] must be host:port, got "10.0.0.2"; write "10.0.0.2:port"`);
  replace("[10.0.0.1:1, 10.0.0.1:1]");
  await more(3);
  expect(told[2]).toBe(
    `${file}:1:14: [1] is there twice, got "10.0.0.1:1"; leave one of them out, or give it more weight`,
  );
  replace("endpoints: []");
  await more(4);
  expect(told[3]).toMatch(/: the document must be a list/);
  replace("");
  await more(5);
  expect(told[4]).toMatch(/: the document must be a list/);
  rmSync(file);
  await more(6);
  expect(told[5]).toMatch(/: the document cannot be read \(ENOENT\)/);
  replace("[10.0.0.9:1]");
  await more(7);
  expect((told[6] as EndpointAddress[])[0]?.host).toBe("10.0.0.9");
  expect(told.filter((one) => typeof one !== "string")).toHaveLength(2);
});

test("a file that isn't there yet is an error until it is", async () => {
  const { told, more } = watching();
  expect(told[0]).toMatch(/cannot be read \(ENOENT\)/);
  replace("[10.0.0.1:1]");
  await more(2);
  expect(told[1]).toHaveLength(1);
});
