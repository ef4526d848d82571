import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { foldPath, normalizePath } from "./normalize-path.js";

describe("normalizePath", () => {
  test.each([
    ["/", "/"],
    ["/a/b", "/a/b"],
    ["/a/b/", "/a/b/"],
    ["/A/b", "/A/b"],
    ["/a;v=1/b", "/a;v=1/b"],
    ["/a?b=/../c", "/a"],
    ["/a%2Db?x=%2F", "/a-b"],
    ["/%61dmin", "/admin"],
    ["/%7euser", "/~user"],
    ["/a%20b", "/a%20b"],
    ["/a%3bb", "/a%3Bb"],
    ["/100%25", "/100%25"],
    ["/caf%c3%a9", "/caf%C3%A9"],
    ["/.well-known/x", "/.well-known/x"],
    ["/a/...", "/a/..."],
    ["/a/..b", "/a/..b"],
    ["*", "*"],
    ["", ""],
  ])("gives %s as %s", (target, normal) => {
    expect(normalizePath(target)).toBe(normal);
  });

  test.each([
    "//",
    "//a",
    "/a//b",
    "/a//",
    "/.",
    "/..",
    "/a/./b",
    "/a/../b",
    "/a/..",
    "/a/..?x",
    "/a/%2e%2e/b",
    "/a/%2E./b",
    "/a/.%2e",
    "/a/..;/b",
    "/a/.;x/b",
    "/a/%2e%2e;/b",
    "/a/..%3b/b",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/a%00",
    "/a%0a",
    "/a%7f",
    "/a%252e",
    "/a%25%32%65",
    "/a%",
    "/a%4",
    "/a%zz",
    "/a%c0%af",
    "/a%ff",
    "/a b",
    "/a#b",
    "/a\u0000",
    "/caf\u00e9",
    "a/b",
    "http://host/a",
    "**",
    "?x",
  ])("finds %j ambiguous", (target) => {
    expect(normalizePath(target)).toBeNull();
  });

  // Characters that have broken path checks before, in all orders.
  const piece = fc.constantFrom(
    "/",
    ".",
    "..",
    ";",
    "%",
    "%2e",
    "%2F",
    "%5c",
    "%25",
    "%61",
    "%C3%A9",
    "%3B",
    "a",
    "B",
    "\\",
    "?",
    "#",
    "*",
    " ",
  );
  const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);

  test("is idempotent: a normal form is its own", () => {
    fc.assert(
      fc.property(fc.oneof(target, fc.string(), fc.webPath()), (path) => {
        const normal = normalizePath(path);
        if (normal !== null && normal !== "") expect(normalizePath(normal)).toBe(normal);
      }),
      { numRuns: 3000 },
    );
  });

  test("what it accepts means the same to the WHATWG URL parser, to a decoding server, and to itself", () => {
    fc.assert(
      fc.property(target, (path) => {
        const normal = normalizePath(path);
        if (normal === null) return;
        const parsed = new URL(`http://host${path}`);
        expect(parsed.host).toBe("host");
        expect(normalizePath(parsed.pathname)).toBe(normal);
        const decoded = decodeURIComponent(normal);
        expect(decoded.split("/").length).toBe(normal.split("/").length);
        expect(decoded.split("/").some((segment) => segment === "." || segment === "..")).toBe(false);
      }),
      { numRuns: 5000 },
    );
  });

  test("encoding characters that need no encoding changes nothing", () => {
    const encode = (path: string, mask: readonly boolean[]) =>
      [...path]
        .map((c, i) => (c !== "/" && mask[i % mask.length] ? `%${c.charCodeAt(0).toString(16).padStart(2, "0")}` : c))
        .join("");
    const segment = fc.stringMatching(/^[A-Za-z0-9_~-]{1,6}$/);
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1 }), fc.array(fc.boolean(), { minLength: 1 }), (segments, mask) => {
        const path = `/${segments.join("/")}`;
        expect(normalizePath(encode(path, mask))).toBe(path);
      }),
    );
  });
});

describe("foldPath", () => {
  test.each([
    ["/admin", "/admin"],
    ["/Admin/", "/admin"],
    ["/admin;x=1/users", "/admin/users"],
    ["/;/admin", "/admin"],
    ["/%40me", "/@me"],
    ["/CAF%C3%89", "/caf\u00e9"],
    ["/%E2%84%AAey", "/key"],
    ["/", "/"],
  ])("gives %s as %s", (normal, folded) => {
    expect(foldPath(normal)).toBe(folded);
  });

  test("never throws on a normal form", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (path) => {
        const normal = normalizePath(`/${path}`);
        if (normal !== null) expect(foldPath(normal).startsWith("/")).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
