import { isIPv4, isIPv6 } from "node:net";
import type { Refusal } from "@selvage/policy";
import type { HostPort } from "./config.js";

/** Reads `host:port`: a name, an IPv4 address, or an IPv6 address in brackets; the port is 1 to 65535. */
export function parseHostPort(text: string): HostPort | Refusal {
  if (text.includes("://")) return { problem: "must be host:port", remedy: "leave out the scheme" };
  const colon = text.lastIndexOf(":");
  // Node 20 compiles a long regular expression for the first address that is asked about: 3 ms.
  if (colon !== text.indexOf(":") && isIPv6(text)) {
    return { problem: "must be host:port", remedy: `write "[${text}]:port"` };
  }
  if (colon === -1) return { problem: "must be host:port", remedy: `write "${text}:port"` };
  const host = text.slice(0, colon);
  const port = parsePort(text.slice(colon + 1));
  if (port === null) return { problem: "must be host:port", remedy: "the port is a number from 1 to 65535" };
  const plain = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : null;
  if (plain !== null ? isIPv6(plain) : isHostName(host)) return { host: plain ?? host, port };
  return { problem: "must be host:port", remedy: `"${host}" is no host` };
}

/** Reads what DNS is asked for: `name:port`, or without a port `_service._proto.name`, whose port comes out as 0. */
export function parseDnsName(text: string): HostPort | Refusal {
  if (!text.startsWith("_")) return parseHostPort(text);
  if (text.includes(":")) {
    const remedy = `write "${text.slice(0, text.indexOf(":"))}"`;
    return { problem: "must have no port, since SRV records name it", remedy };
  }
  if (/^_[^._]+\._[^._]+\.[^.]/.test(text) && isHostName(text)) return { host: text, port: 0 };
  return { problem: "must be the name of SRV records", remedy: 'write it as "_mesh._tcp.inventory.shop"' };
}

function parsePort(text: string): number | null {
  if (text.length === 0 || text.length > 5) return null;
  for (const c of text) if (c < "0" || c > "9") return null;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : null;
}

/** What can stand in a URL as a host: letters, digits, `-`, `_` in labels of at most 63; a dotted number is an IPv4 address. */
export function isHostName(text: string): boolean {
  if (text === "" || text.length > 253) return false;
  const labels = (text.endsWith(".") ? text.slice(0, -1) : text).split(".");
  if (labels.every((label) => Number.isInteger(Number(label)))) return isIPv4(text);
  return labels.every((label) => label !== "" && label.length <= 63 && [...label].every(isHostCharacter));
}

function isHostCharacter(c: string): boolean {
  return (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c >= "0" && c <= "9") || c === "-" || c === "_";
}

/** `null` for an authority (`host` or `host:port`, lower case), or what is wrong with it. */
export function refuseAuthority(text: string): Refusal | null {
  if (text.includes("://"))
    return { problem: "must be an authority", remedy: `write "${text.slice(text.indexOf("://") + 3)}"` };
  if (text !== text.toLowerCase()) return { problem: "must be lower case", remedy: `write "${text.toLowerCase()}"` };
  const plain = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : "";
  if (isHostName(text) || (plain !== "" && isIPv6(plain)) || !("problem" in parseHostPort(text))) return null;
  return {
    problem: "must be an authority",
    remedy: 'write it as it stands in URLs: "inventory.shop" or "inventory.shop:8080"',
  };
}

/** `host:port`, with the brackets that IPv6 needs. */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
