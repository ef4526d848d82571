import { describe, expect, test } from "vitest";
import { formatHostPort, parseHostPort, refuseAuthority } from "./address.js";

describe("host and port", () => {
  test.each([
    ["127.0.0.1:8080", "127.0.0.1", 8080],
    ["inventory.shop.svc:4143", "inventory.shop.svc", 4143],
    ["[::1]:80", "::1", 80],
    ["my_host:65535", "my_host", 65535],
  ])("%s", (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
    expect(formatHostPort({ host, port })).toBe(text);
  });

  test.each([
    "",
    "host",
    "host:",
    ":80",
    "host:0",
    "host:65536",
    "host:8o",
    "host:080x",
    "http://host:80",
    "::1",
    "::1:80:x",
    "[::1]",
    "[host]:80",
    "host:80/path",
    "user@host:80",
    "a..b:80",
    "256.0.0.1:80",
    "1.2.3:80",
    "ho st:80",
    "host\u0000:80",
  ])("refuses %j", (text) => {
    expect(parseHostPort(text)).toHaveProperty("problem");
  });
});

describe("authorities", () => {
  test.each(["inventory.shop", "inventory.shop:8080", "localhost", "10.0.0.1", "[::1]", "[::1]:80"])("%s", (text) => {
    expect(refuseAuthority(text)).toBeNull();
  });

  test.each([
    ["http://inventory.shop", 'write "inventory.shop"'],
    ["Inventory.shop", 'write "inventory.shop"'],
    ["inventory/shop", "URLs"],
    ["", "URLs"],
    ["*.shop", "URLs"],
  ])("refuses %j and says: %s", (text, remedy) => {
    expect(refuseAuthority(text)?.remedy).toContain(remedy);
  });
});
