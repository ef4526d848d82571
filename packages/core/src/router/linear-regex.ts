import { createRequire } from "node:module";
import type { Refusal } from "@selvage/policy";

/** A regular expression that takes time linear in the text, whatever the text (RE2). */
export interface LinearRegex {
  /** Whether it matches the whole of the text. */
  matches(text: string): boolean;
}

// A larger program makes every character dear; what people write by hand has tens of instructions.
const maxProgramSize = 2_000;

/** What is used of re2js. */
interface Re2 {
  readonly RE2JS: {
    compile(source: string): { testExact(text: string): boolean; programSize(): number };
  };
}

let re2: Re2 | null = null;

/**
 * Compiles a regular expression in RE2's syntax (no back references, no look-around). The library behind it is loaded with
 * the first one: it takes some ten milliseconds, which nobody pays who writes none.
 */
export function compileRegex(source: string): LinearRegex | Refusal {
  re2 ??= createRequire(import.meta.url)("re2js") as Re2;
  let compiled: ReturnType<Re2["RE2JS"]["compile"]>;
  try {
    compiled = re2.RE2JS.compile(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { problem: `must be a regular expression (${reason})`, remedy: "write it in RE2 syntax" };
  }
  if (compiled.programSize() > maxProgramSize) {
    return { problem: "is too large a regular expression", remedy: "repeat less, or write several" };
  }
  const prefix = literalPrefix(source);
  return { matches: (text) => text.startsWith(prefix) && compiled.testExact(text) };
}

/** What every text that matches begins with: most that don't match differ there, and need no engine. */
function literalPrefix(source: string): string {
  const body = source.startsWith("^") ? source.slice(1) : source;
  // Alternatives may begin in different ways, and flags change what letters mean.
  if (body.includes("|") || body.includes("(?")) return "";
  const end = body.search(/[\\^$.[\](){}*+?]/);
  if (end === -1) return body;
  // A quantifier belongs to the character before it.
  return body.slice(0, "*?{".includes(body[end]!) ? Math.max(0, end - 1) : end);
}
