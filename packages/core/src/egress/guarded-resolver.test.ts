import { expect, test } from "vitest";
import { ListResolver } from "../resolver/list-resolver.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import { refuseAddress } from "./address-guard.js";
import { GuardedResolver } from "./guarded-resolver.js";

test.each([
  "127.0.0.1",
  "127.8.8.8",
  "0.0.0.0",
  "169.254.169.254",
  "168.63.129.16",
  "100.100.100.200",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "fe80::1",
  "ff02::1",
  "fd00:ec2::254",
  "::ffff:127.0.0.1",
  "::ffff:a9fe:a9fe",
  "::127.0.0.1",
  "64:ff9b::a9fe:a9fe",
  "2002:7f00:1::",
  "not an address",
])("no name may lead to %s", (address) => {
  expect(refuseAddress(address, false)).not.toBe(null);
  expect(refuseAddress(address, true)).not.toBe(null);
});

test.each(["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"])(
  "only a name that is listed itself may lead to %s",
  (address) => {
    expect(refuseAddress(address, false)).toBe(null);
    expect(refuseAddress(address, true)).toMatch(/private/);
  },
);

test.each(["93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220::1", "64:ff9b::5db8:d822"])(
  "%s is anybody's",
  (address) => expect(refuseAddress(address, true)).toBe(null),
);

function judged(...hosts: string[]) {
  const reasons: string[] = [];
  let found: readonly EndpointAddress[] = [];
  const list = new ListResolver(hosts.map((host) => ({ host, port: 443, identity: null })));
  new GuardedResolver(list, "api.example.com", false, (reason) => reasons.push(reason)).watch({
    onUpdate(endpoints) {
      found = endpoints;
    },
    onFailure() {},
  });
  return { found, reasons };
}

test("addresses that must not be are left out", () => {
  const { found, reasons } = judged("93.184.216.34", "127.0.0.1");
  expect(found.map(({ host, attributes }) => [host, attributes])).toEqual([["93.184.216.34", undefined]]);
  expect(reasons).toEqual([
    "api.example.com resolves to 127.0.0.1, which is of this machine, its link, or a metadata service",
  ]);
});

test("when there are no others, one stands for the reason", () => {
  const { found } = judged("169.254.169.254", "127.0.0.1");
  expect(found).toHaveLength(1);
  expect(found[0]?.attributes).toEqual({ refused: expect.stringContaining("resolves to 169.254.169.254") });
});
