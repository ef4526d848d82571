import { describe, expect, test } from "vitest";
import { type IdentityPattern, matchesIdentity, parseIdentityPattern, refuseTrustDomain } from "./identity-pattern.js";

function pattern(text: string): IdentityPattern {
  const parsed = parseIdentityPattern(text);
  if ("problem" in parsed) throw new Error(`${text} ${parsed.problem}`);
  return parsed;
}

describe("identity patterns", () => {
  test.each([
    ["spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/web", true],
    ["spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/web2", false],
    ["spiffe://td/ns/shop/*", "spiffe://td/ns/shop/sa/web", true],
    ["spiffe://td/ns/shop/*", "spiffe://td/ns/shopping/sa/web", false],
    ["spiffe://td/ns/shop/*", "spiffe://td/ns/shop", false],
    ["spiffe://td/*", "spiffe://td/ns/shop", true],
    ["spiffe://td/*", "spiffe://td2/ns/shop", false],
    ["spiffe://td/*", "spiffe://td.evil/ns/shop", false],
    ["*", "spiffe://td/a", true],
    ["*", null, false],
    ["unauthenticated", null, true],
    ["unauthenticated", "spiffe://td/a", false],
    [
      "web.shop.serviceaccount.identity.linkerd.cluster.local",
      "web.shop.serviceaccount.identity.linkerd.cluster.local",
      true,
    ],
  ])("%s on %j: %s", (text, peer, matches) => {
    expect(matchesIdentity(pattern(text), peer)).toBe(matches);
  });

  test.each([
    ["unauthenticted", 'did you mean "unauthenticated"?'],
    ["spiffe://td", 'write "spiffe://td/…" or "spiffe://td/*"'],
    ["spiffe://TD/a", 'write "td"'],
    ["spiffe://td/a/", "segments"],
    ["spiffe://td/../a", "segments"],
    ["spiffe://td/a*", "segments"],
    ["spiffe://td/*/a", "segments"],
    ["spiffe://td:80/a", ""],
    ["spiffe:///a", ""],
    ["https://td/a", "spiffe://"],
    ["", "spiffe://"],
    [`spiffe://td/${"a".repeat(2048)}`, ""],
  ])("refuses %j", (text, remedy) => {
    expect(parseIdentityPattern(text)).toMatchObject({ remedy: expect.stringContaining(remedy) });
  });

  test("refuses a trust domain that is none", () => {
    expect(refuseTrustDomain("prod.example")).toBeNull();
    expect(refuseTrustDomain("spiffe://prod")).not.toBeNull();
    expect(refuseTrustDomain("a".repeat(256))).not.toBeNull();
  });
});
