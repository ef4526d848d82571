import type { EndpointConfig } from "../config/config.js";
import type { EndpointAddress } from "./resolver.js";

/** An endpoint that somebody wrote down, as discovery tells it. */
export function endpointAddress(endpoint: EndpointConfig): EndpointAddress {
  const { host, port, identity, weight, zone, protocol, labels } = endpoint;
  return { host, port, identity, weight, attributes: { ...labels, protocol }, ...(zone !== null && { zone }) };
}

/** Host and port, with brackets around IPv6. */
export function endpointKey(address: EndpointAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Weight and zone may change under an endpoint; what its transport was made from may not. */
export function sameEndpoint(a: EndpointAddress, b: EndpointAddress): boolean {
  if (a.identity !== b.identity) return false;
  if (a.attributes === b.attributes) return true;
  const before = a.attributes ?? {};
  const after = b.attributes ?? {};
  const names = Object.keys(before);
  return names.length === Object.keys(after).length && names.every((name) => before[name] === after[name]);
}
