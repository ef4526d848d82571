import { expect, test } from "vitest";
import type { EgressRuleConfig } from "../config/config.js";
import { parseEgressRule } from "./egress-rule.js";
import { EgressRules, outsideHost, outsideName, type TargetScheme } from "./egress-rules.js";

function find(allow: readonly string[], url: string): string | null {
  const [, scheme, authority] = /^(\w+):\/\/(.*)$/.exec(url)!;
  const rules = new EgressRules(allow.map((entry) => parseEgressRule(entry) as EgressRuleConfig));
  return rules.find(authority!, scheme as TargetScheme)?.rule.text ?? null;
}

test.each([
  // An exact name, at the port of its scheme.
  ["api.example.com", "https://api.example.com", true],
  ["api.example.com", "https://API.Example.com:443", true],
  ["api.example.com", "https://api.example.com.", true],
  ["api.example.com", "https://api.example.com:8443", false],
  ["api.example.com", "http://api.example.com", false],
  ["api.example.com", "https://example.com", false],
  ["api.example.com", "https://evil-api.example.com", false],
  ["api.example.com", "https://api.example.com.evil.example", false],
  ["http://legacy.example:8080", "http://legacy.example:8080", true],
  ["http://legacy.example:8080", "https://legacy.example:8080", false],
  ["http://legacy.example", "http://legacy.example:80", true],
  // A suffix is of whole labels, and isn't itself.
  ["*.example.com", "https://a.example.com", true],
  ["*.example.com", "https://a.b.example.com", true],
  ["*.example.com", "https://example.com", false],
  ["*.example.com", "https://badexample.com", false],
  ["*.example.com:8443", "https://a.example.com:8443", true],
  ["*.example.com:8443", "https://a.example.com", false],
  // Everything is every public name.
  ["*", "https://anything.example", true],
  ["*", "http://anything.example", false],
  ["*", "https://anything.example:8443", false],
  ["*", "https://localhost", false],
  ["*", "https://a.localhost", false],
  ["*", "https://intranet", false],
  ["*", "https://93.184.216.34", false],
  ["*", "https://[2606:2800::1]", false],
  ["http://*", "http://anything.example", true],
  // Addresses have one form, and others are none.
  ["http://10.0.0.5:8080", "http://10.0.0.5:8080", true],
  ["http://10.0.0.5", "http://0x0a000005", false],
  ["http://10.0.0.5", "http://167772165", false],
  ["http://10.0.0.5", "http://10.5", false],
  ["https://[2001:DB8:0::1]".toLowerCase(), "https://[2001:db8::1]", true],
  ["https://[2001:db8::1]", "https://[2001:db8:0:0::1]:443", true],
  // SRV records would bring ports of their own.
  ["*.example.com", "https://_x._tcp.example.com", false],
  // A tunnel is for any protocol, so that any entry of its port allows it.
  ["api.example.com", "connect://api.example.com:443", true],
  ["http://legacy.example:8080", "connect://legacy.example:8080", true],
  ["api.example.com", "connect://api.example.com:22", false],
  // What is no authority is nothing.
  ["*", "https://user@anything.example", false],
  ["*", "https://anything.example:99999", false],
  ["*", "https://any thing.example", false],
  ["*", "https://", false],
] as const)("%s and %s: %s", (entry, url, allowed) => {
  expect(find([entry], url)).toBe(allowed ? entry : null);
});

test("the most exact entry is the one that counts", () => {
  const allow = ["*", "*.com", "*.example.com", "api.example.com"];
  expect(find(allow, "https://api.example.com")).toBe("api.example.com");
  expect(find(allow, "https://other.example.com")).toBe("*.example.com");
  expect(find(allow, "https://example.com")).toBe("*.com");
  expect(find(allow, "https://example.org")).toBe("*");
});

test("without entries nothing is allowed", () => {
  expect(find([], "https://api.example.com")).toBe(null);
});

test.each([
  ["API.example.com", "must be lower case", 'write "api.example.com"'],
  ["ftp://example.com", "must be http or https", 'write "https://example.com"'],
  ["https://example.com/v1", "must have no path", 'write "https://example.com"'],
  ["https://user:secret@example.com", "must have no user", "leave out what is before @"],
  ["10.0.0.0/8", "must be an address, not a range", "list the addresses"],
  ["https://[fd00::]/8", "must be an address, not a range", "list the addresses"],
  ["2001:db8::1", "must have brackets around IPv6", 'write "https://[2001:db8::1]"'],
  ["example.com:0", "must have a port from 1 to 65535", "leave it out, or correct it"],
  ["api.*.com", "must have * as its whole first label, or alone", 'write "*.com"'],
  ["api*.example.com", "must have * as its whole first label, or alone", 'write "*.example.com"'],
  ["*.*.com", "must have a name after *.", expect.any(String)],
  ["*.", "must have a name after *.", expect.any(String)],
  ["*.10.0.0.1", "must have a name after *.", expect.any(String)],
  ["", "must be a host, with a port or without", expect.any(String)],
  ["exa mple.com", "must be a host, with a port or without", expect.any(String)],
  ["_x._tcp.example.com", "must be a host, with a port or without", expect.any(String)],
])("%s is refused: %s", (entry, problem, remedy) => {
  expect(parseEgressRule(entry)).toEqual({ problem, remedy });
});

test.each([
  ["https", "api.example.com:443", "https://api.example.com"],
  ["https", "api.example.com:8443", "https://api.example.com:8443"],
  ["http", "[2001:DB8::1]", "http://[2001:db8::1]"],
  ["connect", "api.example.com", "tcp://api.example.com:443"],
] as const)("%s %s is called %s", (scheme, authority, name) => {
  expect(outsideName(outsideHost(authority, scheme)!, scheme)).toBe(name);
});
