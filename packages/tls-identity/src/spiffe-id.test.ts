import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IdentityError } from "./identity-error.js";
import { internedIds, requireTrustDomain, SpiffeId } from "./spiffe-id.js";

function reasonOf(text: string): string {
  try {
    SpiffeId.parse(text);
  } catch (error) {
    if (IdentityError.is(error)) return error.reason;
    throw error;
  }
  return "accepted";
}

describe("SpiffeId", () => {
  test("equal texts give the same object", () => {
    const id = SpiffeId.parse("spiffe://prod.example/ns/shop/sa/storefront");
    expect(SpiffeId.parse(["spiffe://prod.example", "ns/shop/sa/storefront"].join("/"))).toBe(id);
    expect([id.kind, id.trustDomain, id.path, `${id}`]).toEqual([
      "spiffe",
      "prod.example",
      "/ns/shop/sa/storefront",
      "spiffe://prod.example/ns/shop/sa/storefront",
    ]);
  });

  test("Linkerd's DNS form is read, and is another id than the SPIFFE form", () => {
    const id = SpiffeId.parse("web.emojivoto.serviceaccount.identity.linkerd.cluster.local");
    expect([id.kind, id.trustDomain, id.path]).toEqual([
      "dns",
      "cluster.local",
      "/web.emojivoto.serviceaccount.identity.linkerd",
    ]);
    expect(SpiffeId.parse("web.emojivoto.serviceaccount.identity.linkerd.cluster.local")).toBe(id);
  });

  test.each([
    ["spiffe://a.example", "id-path-missing"],
    ["spiffe://a.example/", "id-path"],
    ["spiffe://a.example/x/", "id-path"],
    ["spiffe://a.example//x", "id-path"],
    ["spiffe://a.example/./x", "id-path"],
    ["spiffe://a.example/../x", "id-path"],
    ["spiffe://a.example/x%2fy", "id-path"],
    ["spiffe://a.example/x?y", "id-path"],
    ["spiffe://a.example/x#y", "id-path"],
    ["spiffe://a.example/x\0", "id-path"],
    ["spiffe://a.example/x\n", "id-path"],
    ["spiffe://a.example/\u0141", "id-path"],
    ["spiffe://A.example/x", "id-trust-domain"],
    ["spiffe://.example/x", "id-trust-domain"],
    ["spiffe://example./x", "id-trust-domain"],
    ["spiffe:///x", "id-trust-domain"],
    ["spiffe://a.example:1/x", "id-trust-domain"],
    ["spiffe://b@a.example/x", "id-trust-domain"],
    ["spiffe://a.example\n/x", "id-trust-domain"],
    [`spiffe://${"a".repeat(256)}/x`, "id-trust-domain"],
    [`spiffe://a.example/${"x".repeat(2048)}`, "id-too-long"],
    ["SPIFFE://a.example/x", "id-scheme"],
    ["https://a.example/x", "id-scheme"],
    ["", "id-dns-form"],
    ["a.example", "id-dns-form"],
    ["web.ns.serviceaccount.identity.linkerd", "id-dns-form"],
    ["Web.ns.serviceaccount.identity.linkerd.local", "id-dns-form"],
    ["web..serviceaccount.identity.linkerd.local", "id-dns-form"],
    ["web.ns.serviceaccount.identity.linkerd.local.", "id-dns-form"],
    ["web.ns.service.identity.linkerd.local", "id-dns-form"],
    ["web.ns.serviceaccount.id.linkerd.local", "id-dns-form"],
    [`web.ns.serviceaccount.identity.linkerd${".local".repeat(40)}`, "id-dns-form"],
    [5 as never, "id-too-long"],
  ])("refuses %j as %s", (text, reason) => {
    expect(reasonOf(text)).toBe(reason);
  });

  test("refuses anything or gives back exactly the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (tail) => {
        const text = `spiffe://a.example/${tail}`;
        expect(SpiffeId.tryParse(text)?.toString() ?? text).toBe(text);
      }),
    );
  });

  test("a flood of ids is forgotten, but not an id in use", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const held = SpiffeId.parse("spiffe://flood.example/held");
    for (let turn = 0; turn < 8; turn++) {
      for (let n = 0; n < 2500; n++) SpiffeId.parse(`spiffe://flood.example/${turn}/${n}`);
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    expect(internedIds()).toBeLessThan(12_000);
    expect(SpiffeId.parse("spiffe://flood.example/held")).toBe(held);
  });
});

test("a trust domain is a text", () => {
  expect(requireTrustDomain("5")).toBe("5");
  expect(() => requireTrustDomain(5 as never)).toThrow(/is not a trust domain/);
});
