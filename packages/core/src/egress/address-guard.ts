import { BlockList, isIPv4, isIPv6 } from "node:net";

/**
 * Never a service of somebody else: this machine, the local link (where clouds have their metadata services), those metadata
 * services that have addresses elsewhere, groups, and what is reserved.
 */
const never = blockList([
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["100.100.100.200", 32],
  ["168.63.129.16", 32],
  ["::", 128],
  ["::1", 128],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
  ["fd00:ec2::", 32],
]);

/** Of somebody's own network (RFC 1918, RFC 6598, RFC 4193), and of benchmarks (RFC 2544). */
const ownNetwork = blockList([
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["192.0.0.0", 24],
  ["198.18.0.0", 15],
  ["fc00::", 7],
]);

/**
 * Why a name may not lead to an address; `null`: it may. Names are in the hands of whoever runs their DNS: without this an
 * allowed name could be made to mean this machine, or the metadata service of the cloud that it runs in.
 *
 * @param anyName the name was allowed by a wildcard: it leads to public addresses only
 */
export function refuseAddress(address: string, anyName: boolean): string | null {
  const plain = embeddedIPv4(address) ?? address;
  const family = isIPv4(plain) ? "ipv4" : isIPv6(plain) ? "ipv6" : null;
  if (family === null) return "which is no address";
  if (never.check(plain, family)) return "which is of this machine, its link, or a metadata service";
  if (anyName && ownNetwork.check(plain, family))
    return "which is private, and only the name itself (no *) allows that";
  return null;
}

/** The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), compatible, NAT64 (RFC 6052), 6to4 (RFC 3056). */
function embeddedIPv4(address: string): string | null {
  if (!isIPv6(address) || address.includes("%")) return null;
  const groups = expand(new URL(`http://[${address}]`).hostname.slice(1, -1));
  const leading = groups.slice(0, 5).every((group) => group === 0);
  if (leading && (groups[5] === 0xffff || (groups[5] === 0 && (groups[6]! > 0 || groups[7]! > 1))))
    return dotted(groups[6]!, groups[7]!);
  if (groups[0] === 0x64 && groups[1] === 0xff9b) return dotted(groups[6]!, groups[7]!);
  if (groups[0] === 0x2002) return dotted(groups[1]!, groups[2]!);
  return null;
}

function expand(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const numbers = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  if (tail === undefined) return numbers(head);
  const before = numbers(head);
  const after = numbers(tail);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

function dotted(high: number, low: number): string {
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function blockList(ranges: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of ranges) list.addSubnet(address, bits, isIPv4(address) ? "ipv4" : "ipv6");
  return list;
}
