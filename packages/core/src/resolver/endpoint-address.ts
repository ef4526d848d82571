import type { EndpointConfig } from "../config/config.js";
import type { EndpointAddress } from "./resolver.js";

/** An endpoint that somebody wrote down, as discovery tells it. */
export function endpointAddress(endpoint: EndpointConfig): EndpointAddress {
  const { host, port, identity, weight, zone, protocol, labels } = endpoint;
  return { host, port, identity, weight, attributes: { ...labels, protocol }, ...(zone !== null && { zone }) };
}
