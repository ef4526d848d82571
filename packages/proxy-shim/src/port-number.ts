import { InvalidArgumentError } from "commander";

/** Reads the value of an option that is a port. */
export function portNumber(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("must be a port between 0 and 65535.");
}
