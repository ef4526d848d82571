import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Policy } from "./policy.js";
import type { PolicyDefault, RuleDocument } from "./policy-document.js";
import { PolicyError } from "./policy-error.js";

const web = "spiffe://prod.example/ns/shop/sa/web";
const batch = "spiffe://prod.example/ns/jobs/sa/batch";

function policy(rules: RuleDocument[], fallback: PolicyDefault = "deny"): Policy {
  return Policy.parse({ default: fallback, rules }, "test");
}

function problemsOf(document: unknown): string {
  try {
    Policy.parse(document, "policy.yaml");
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
  throw new Error("the document was accepted");
}

describe("defaults", () => {
  test.each([
    ["deny", web, false, false],
    ["deny", null, false, false],
    ["all-authenticated", web, true, false],
    ["all-authenticated", null, false, false],
    ["all-unauthenticated", null, true, false],
    ["audit", null, true, true],
  ] as const)("%s with peer %s", (name, peer, allow, audited) => {
    expect(Policy.default(name).decide(peer, "GET", "/")).toMatchObject({ allow, audited, rule: name });
  });

  test("a document without a default denies", () => {
    expect(Policy.parse({}, "test").decide(web, "GET", "/").allow).toBe(false);
  });
});

describe("rules", () => {
  test("the first allow rule that matches names the verdict", () => {
    const p = policy([
      { name: "get", from: ["*"], methods: ["GET"], action: "allow" },
      { name: "shop", from: ["spiffe://prod.example/ns/shop/*"], action: "allow" },
    ]);
    expect(p.decide(web, "GET", "/").rule).toBe("get");
    expect(p.decide(web, "POST", "/").rule).toBe("shop");
    expect(p.decide(batch, "POST", "/")).toMatchObject({ allow: false, rule: "deny" });
    expect(p.decide(null, "GET", "/").allow).toBe(false);
  });

  test("a deny rule wins wherever it stands", () => {
    const p = policy([
      { name: "all", from: ["*"], action: "allow" },
      { name: "no-jobs", from: ["spiffe://prod.example/ns/jobs/*"], paths: ["/orders/*"], action: "deny" },
    ]);
    expect(p.decide(batch, "GET", "/orders/7")).toMatchObject({ allow: false, rule: "no-jobs" });
    expect(p.decide(batch, "GET", "/items/7").allow).toBe(true);
    expect(p.decide(web, "GET", "/orders/7").allow).toBe(true);
  });

  test("an audit rule allows and reports what no allow rule allows", () => {
    const p = policy([
      { name: "later", from: ["*", "unauthenticated"], action: "audit" },
      { name: "web", from: [web], action: "allow" },
    ]);
    expect(p.decide(web, "GET", "/")).toMatchObject({ allow: true, rule: "web", audited: false });
    expect(p.decide(null, "GET", "/")).toMatchObject({ allow: true, rule: "later", audited: true });
  });

  test("an unauthenticated peer is matched by name only", () => {
    const p = policy([{ name: "health", from: ["unauthenticated"], paths: ["/healthz"], action: "allow" }]);
    expect(p.decide(null, "GET", "/healthz?full").allow).toBe(true);
    expect(p.decide(null, "GET", "/").allow).toBe(false);
    expect(p.decide(web, "GET", "/healthz").allow).toBe(false);
  });

  test("reasons say who, by which rule, and why", () => {
    const p = policy([{ name: "admin", from: [web], paths: ["/admin"], action: "allow" }]);
    expect(p.decide(web, "GET", "/admin").reason).toBe(`${web} is allowed by rule "admin"`);
    expect(p.decide(web, "GET", "/").reason).toBe(`${web} is denied by the default "deny": no rule about it matches`);
    expect(p.decide(null, "GET", "/").reason).toBe(
      'unauthenticated peer is denied by the default "deny": no rule is about it',
    );
    expect(p.decide(web, "GET", "//admin").reason).toContain("the path is ambiguous");
  });
});

describe("bypass by path", () => {
  const p = policy([{ name: "public", from: ["*"], paths: ["/public/*", "/exact"], action: "allow" }]);

  test.each([
    "/public/../admin",
    "/public/..;/admin",
    "/public/%2e%2e/admin",
    "/public/%2e%2e%2fadmin",
    "/public/..%2fadmin",
    "/public/..%5cadmin",
    "/public\\..\\admin",
    "/public//admin",
    "/public/%252e%252e/admin",
    "/public/%c0%ae%c0%ae/admin",
    "/./public/x",
    "//public/x",
    "/PUBLIC/x",
    "/publicx",
    "/public%00/x",
    "/exact/",
    "/exact;x",
    "/Exact",
    "http://h/public/x",
    "*",
    "",
  ])("%j matches no allow rule", (path) => {
    expect(p.decide(web, "GET", path).allow).toBe(false);
  });

  test("an ambiguous path still passes a rule that is not about paths", () => {
    const any = policy([{ name: "any", from: ["*"], action: "allow" }]);
    expect(any.decide(web, "GET", "/a//b").allow).toBe(true);
  });

  const denied = policy(
    [{ name: "admin", from: ["*"], methods: ["GET"], paths: ["/admin/*"], action: "deny" }],
    "all-authenticated",
  );

  test.each([
    "/admin",
    "/admin/",
    "/Admin/users",
    "/admin;x=1/users",
    "/%61dmin",
    "/%41dmin?x",
    "//admin",
    "/x/../admin",
    "/;a/admin",
    "/admin%2fusers",
    "/\\admin",
  ])("%j does not escape a deny rule", (path) => {
    expect(denied.decide(web, "GET", path)).toMatchObject({ allow: false, rule: "admin" });
  });

  test.each(["get", "HEAD"])("method %s does not escape a deny rule for GET", (method) => {
    expect(denied.decide(web, method, "/admin").allow).toBe(false);
  });

  test("other methods and paths are not denied", () => {
    expect(denied.decide(web, "POST", "/admin").allow).toBe(true);
    expect(denied.decide(web, "GET", "/administrators").allow).toBe(true);
  });

  test("whatever is sent, a path under a denied prefix is denied as WHATWG URL sees it", () => {
    const piece = fc.constantFrom("/", ".", "..", ";", "%2e", "%2F", "admin", "ADMIN", "%61dmin", "x", "\\", "?");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = `/${pieces.join("")}`;
        const seen = decodeURIComponent(new URL(`http://h${path}`).pathname).toLowerCase();
        if (seen === "/admin" || seen.startsWith("/admin/")) {
          expect(denied.decide(web, "GET", path).allow).toBe(false);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("whatever is sent, only what WHATWG URL sees under an allowed prefix is allowed", () => {
    const piece = fc.constantFrom("/", ".", "..", ";", "%2e", "%2F", "public", "%70ublic", "admin", "\\", "?", "%25");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = `/${pieces.join("")}`;
        if (!p.decide(web, "GET", path).allow) return;
        const url = new URL(`http://h${path}`);
        const seen = decodeURIComponent(url.pathname);
        expect(url.host).toBe("h");
        expect(seen === "/public" || seen.startsWith("/public/")).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("peers", () => {
  test("more peers than are kept at hand get the same verdicts", () => {
    const p = policy([{ name: "even", from: ["spiffe://td/even/*"], action: "allow" }]);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 5000; i++) {
        const peer = `spiffe://td/${i % 2 === 0 ? "even" : "odd"}/${i}`;
        expect(p.decide(peer, "GET", "/").allow).toBe(i % 2 === 0);
      }
    }
  });

  test("verdicts of one peer are the same object, so that deciding allocates none", () => {
    const p = policy([{ name: "a", from: ["*"], paths: ["/a/*"], action: "allow" }]);
    expect(p.decide(web, "GET", "/a/1")).toBe(p.decide(web, "POST", "/a/2"));
    expect(p.forPeer(web)).toBe(p.forPeer(web));
  });
});

describe("errors", () => {
  test("all problems at once, each with file, path, value and remedy", () => {
    const text = problemsOf({
      default: "all-authentcated",
      rule: [],
      rules: [
        { name: "a", form: ["*"], from: ["spiffe://TD/x"], action: "alow" },
        { name: "b", from: [], methods: ["get"], paths: ["/a*"], action: "allow" },
      ],
    });
    expect(text.split("\n")).toEqual(
      expect.arrayContaining([
        'policy.yaml: default must be one of deny, all-authenticated, all-unauthenticated, audit, got "all-authentcated"; did you mean "all-authenticated"?',
        'policy.yaml: rule is not a known field here; did you mean "rules"?',
        'policy.yaml: rules[0].form is not a known field here; did you mean "from"?',
        'policy.yaml: rules[0].from[0] must have a valid trust domain (it must consist of lower-case letters, digits, ".", "-" and "_"), got "spiffe://TD/x"; write "td"',
        'policy.yaml: rules[0].action must be one of allow, deny, audit, got "alow"; did you mean "allow"?',
        "policy.yaml: rules[1].from must not be empty, got []",
        'policy.yaml: rules[1].methods[0] is not a method, got "get"; write "GET"',
        'policy.yaml: rules[1].paths[0] may have a * as its last segment only, got "/a*"; write a prefix as "/a/b/*"',
      ]),
    );
  });

  test.each([
    [
      {
        rules: [
          { name: "a", from: ["*"], action: "allow" },
          { name: "a", from: ["*"], action: "deny" },
        ],
      },
      "rules[1].name must be unique",
    ],
    [{ rules: [{ name: "deny", from: ["*"], action: "deny" }] }, "rules[0].name must not be the name of a default"],
    [{ rules: [{ name: "a b", from: ["*"], action: "deny" }] }, "rules[0].name must consist of"],
    [{ rules: [{ name: "a", action: "deny" }] }, "rules[0].from is missing, and must be a list"],
    [{ rules: {} }, "rules must be a list, got {}"],
    [null, "the document must be an object, got null"],
    ["deny", 'the document must be an object, got "deny"'],
    [{ rateLimit: { total: { requestsPerSecond: 0 } } }, "rateLimit.total.requestsPerSecond must be at least 1, got 0"],
    [{ rateLimit: { total: { requestsPerSecond: 5 }, identity: { requestsPerSecond: 6 } } }, "must not be above total"],
    [
      { rateLimit: { overrides: [{ from: [web, web], requestsPerSecond: 1 }] } },
      "rateLimit.overrides[0].from[1] has an override already",
    ],
  ])("%j", (document, problem) => {
    expect(problemsOf(document)).toContain(problem);
  });

  test("an unknown or malformed field never makes a policy that allows", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.constantFrom("allow", "deny", "audit"),
        (extra, action) => {
          let parsed: Policy;
          try {
            parsed = Policy.parse({ ...extra, rules: [{ ...extra, name: "r", from: [web], action }] }, "test");
          } catch (error) {
            expect(error).toBeInstanceOf(PolicyError);
            return;
          }
          expect(Object.keys(extra)).toEqual([]);
          expect(parsed.decide(batch, "GET", "/").allow).toBe(false);
        },
      ),
    );
  });
});

describe("warnings", () => {
  test.each([
    [{}, "nothing is allowed"],
    [{ rules: [{ name: "d", from: ["*"], action: "deny" }] }, 'rule "d" changes nothing'],
    [
      {
        rules: [
          { name: "all", from: ["*"], action: "allow" },
          { name: "web", from: [web], methods: ["GET"], paths: ["/a"], action: "allow" },
        ],
      },
      'rule "web" never decides: "all" (allow) matches all that it does',
    ],
    [
      {
        rules: [
          { name: "web", from: [web], paths: ["/A/b/*"], action: "allow" },
          { name: "no-a", from: ["spiffe://prod.example/*"], paths: ["/a/*"], action: "deny" },
        ],
      },
      'rule "web" never decides: "no-a" (deny)',
    ],
    [
      { default: "all-unauthenticated", rules: [{ name: "a", from: ["*"], action: "allow" }] },
      'rule "a" changes nothing',
    ],
  ])("%j", (document, warning) => {
    expect(Policy.parse(document, "test").warnings.join("\n")).toContain(warning);
  });

  test("rules that each decide something give none", () => {
    const p = policy([
      { name: "jobs", from: ["spiffe://prod.example/ns/jobs/*"], paths: ["/orders/*"], action: "deny" },
      { name: "get", from: ["*"], methods: ["GET"], action: "allow" },
      { name: "any", from: ["*"], action: "allow" },
      { name: "rest", from: ["unauthenticated"], action: "audit" },
    ]);
    expect(p.warnings).toEqual([]);
  });

  test("a rule that is warned about as never deciding never decides", () => {
    const from = fc.subarray(
      ["*", "unauthenticated", web, "spiffe://prod.example/*", "spiffe://prod.example/ns/shop/*"],
      { minLength: 1 },
    );
    const methods = fc.option(fc.subarray(["GET", "HEAD", "POST"], { minLength: 1 }), { nil: undefined });
    const paths = fc.option(fc.subarray(["/a", "/A", "/a/*", "/a/b", "/*", "/"], { minLength: 1 }), { nil: undefined });
    const action = fc.constantFrom("allow" as const, "deny" as const, "audit" as const);
    const rules = fc
      .array(fc.record({ from, methods, paths, action }), { maxLength: 5 })
      .map((list) => list.map((rule, i) => ({ ...rule, name: `r${i}` })));
    fc.assert(
      fc.property(rules, (list) => {
        const p = policy(list, "deny");
        const silent = list.filter((rule) => p.warnings.some((text) => text.startsWith(`rule "${rule.name}" never`)));
        for (const peer of [null, web, batch, "spiffe://other/a"]) {
          for (const method of ["GET", "HEAD", "POST", "PUT"]) {
            for (const path of ["/", "/a", "/A", "/a/", "/a/b", "/b", "//", "*"]) {
              const decided = p.decide(peer, method, path).rule;
              expect(silent.map((rule) => rule.name)).not.toContain(decided);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
