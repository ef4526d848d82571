/** A fenced block of a page. */
export interface Block {
  readonly language: string;
  readonly code: string;
  /** Of its fence, from 1. */
  readonly line: number;
  /** What an HTML comment directly above says after `test:`, or "". */
  readonly directive: string;
  /** Its file, if its first line is a comment with nothing but a name. */
  readonly file: string | null;
  /** The ```text block that follows before any other block: what it prints. */
  readonly output: string | null;
}

const fence = /^```(\w*)\s*$/;
const directive = /^<!--\s*test:\s*(.*?)\s*-->$/;
const fileName = /^(?:\/\/|#) ([\w./-]+\.(?:mjs|cjs|js|ts|py|yaml|json))$/;

/** Every fenced block of a page that has a language, in order, without the ```text blocks that are the output of another. */
export function blocksOf(page: string): Block[] {
  const lines = page.split("\n");
  const found: { -readonly [K in keyof Block]: Block[K] }[] = [];
  for (let i = 0; i < lines.length; i++) {
    const language = fence.exec(lines[i]!)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf("```", i + 1);
    if (end < 0) throw new Error(`line ${i + 1}: the block has no end`);
    const code = `${lines.slice(i + 1, end).join("\n")}\n`;
    const above = directive.exec(lines[i - 1] ?? "")?.[1] ?? "";
    const last = found.at(-1);
    if (language === "text" && above === "" && last !== undefined && last.output === null) last.output = code;
    else if (language !== "" && language !== "text") {
      const file = fileName.exec(lines[i + 1] ?? "")?.[1] ?? null;
      found.push({ language, code, line: i + 1, directive: above, file, output: null });
    }
    i = end;
  }
  return found;
}

/** What the comments behind `console.log(…);` say that it prints. */
export function printedBy(code: string): string[] {
  return [...code.matchAll(/^\s*console\.log\(.*\);? \/\/ (.+)$/gm)].map((match) => match[1]!.trim());
}

/** Whether lines are as expected; `…` stands for anything within a line, and a line of only `…` for any lines. */
export function matches(actual: string, expected: readonly string[]): boolean {
  const source = expected
    .map((line) => line.trimEnd())
    .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${line.split("…").map(escaped).join(".*")}\\n`))
    .join("");
  const lines = actual.split("\n").map((line) => line.trimEnd());
  return new RegExp(`^${source}$`).test(`${lines.filter((line) => line !== "").join("\n")}\n`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
