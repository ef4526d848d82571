import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "@selvage/core";
import { Policy } from "@selvage/policy";
import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Block, blocksOf, matches, printedBy } from "./markdown.js";
import { freePort, listens, type Run, read, root, Workspace } from "./workspace.js";

/**
 * What happens to a block, and what an HTML comment directly above it can change:
 *
 * - js: runs, and prints what the comments behind its `console.log` say. With a name (`// a.mjs`) it is written to a file of that name,
 *   and runs if no sh block of the page does it. `<!-- test: fragment (why) -->`: only its syntax and its imports are checked.
 * - ts: its types are checked.
 * - yaml: a policy or a configuration, which is loaded; a list is a file that a configuration names. With a name it is written to a file too. Kubernetes' objects are only parsed.
 * - json: is parsed. py: its syntax is checked; with a name it is written to a file.
 * - sh: runs if it consists of commands of `runnable`; otherwise its syntax is checked, and that the npm scripts and files exist.
 *   `<!-- test: background -->`: goes on running to the end of the page. A fragment: as if it could not be run.
 * - any: `<!-- test: skip (why) -->`.
 *
 * A text block that follows is what a js or sh block prints. All blocks of a page share a directory and a mesh. Ports that a
 * page names are replaced by free ones.
 */
const pages = [
  "README.md",
  "ARCHITECTURE.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  ...readdirSync(join(root, "packages"))
    .map((name) => `packages/${name}/README.md`)
    .filter((path) => existsSync(join(root, path))),
];
const languages = ["js", "ts", "yaml", "json", "sh", "py"];
const runnable = new Set(["node", "npx", "curl", "cat", "python3"]);
/** What a block may use and not every machine has. */
const missing = ["curl", "cat", "python3"].filter((command) => spawnSync(command, ["--version"]).error !== undefined);

/** How long a command may take until it prints what it should: services start meanwhile. */
const patienceMs = 30_000;

describe.each(pages)("%s", (path) => {
  const blocks = blocksOf(read(path));
  const checked = blocks.filter(({ language }) => languages.includes(language));
  if (checked.length === 0) {
    console.info(`skipped: ${path} has no blocks`);
    return test.skip("has no blocks", () => {});
  }
  const page = new Page(blocks);
  afterAll(() => page.workspace.remove());
  let lacks: string | undefined;
  for (const block of checked) {
    const name = `line ${block.line}: ${block.language}${block.file === null ? "" : ` ${block.file}`}`;
    const words = block.language === "py" ? ["python3"] : block.language === "sh" ? block.code.split(/[\s|;&()]+/) : [];
    // What a block that didn't run would have made or started is missed by those after it.
    if (block.language === "sh") lacks ??= missing.find((command) => words.includes(command));
    const without = block.language === "sh" ? lacks : missing.find((command) => words.includes(command));
    if (block.directive.startsWith("skip")) {
      console.info(`skipped: ${path} ${name}: ${block.directive}`);
      test.skip(`${name}: ${block.directive}`, () => {});
    } else if (without !== undefined) {
      console.info(`skipped: ${path} ${name}: no ${without} here`);
      test.skip(`${name}: no ${without} here`, () => {});
    } else test(name, { timeout: 2 * patienceMs }, () => page.check(block));
  }
  return undefined;
});

test("comments above blocks say something that is heard, and why a block isn't run", () => {
  const odd = pages.flatMap((path) =>
    blocksOf(read(path))
      .filter(({ directive }) => !/^$|^background$|^(fragment|skip) \(.+\)$/.test(directive))
      .map(({ line, directive }) => `${path}:${line}: ${directive}`),
  );
  expect(odd).toEqual([]);
});

class Page {
  readonly workspace = new Workspace();
  readonly #blocks: readonly Block[];
  readonly #files = new Map<string, string>();
  readonly #background: ReturnType<Workspace["start"]>[] = [];
  #ports: Promise<ReadonlyMap<string, string>> | null = null;

  constructor(blocks: readonly Block[]) {
    this.#blocks = blocks;
  }

  async check(block: Block): Promise<void> {
    const code = await this.#withPorts(block.code);
    if (block.file !== null) this.#write(block.file, code);
    switch (block.language) {
      case "js":
        return this.#checkJs(block, code);
      case "ts":
        return this.#checkTypes(block, code);
      case "yaml":
        return this.#checkYaml(block, code);
      case "json":
        return void JSON.parse(code);
      case "py":
        return this.#checkPython(block, code);
      default:
        return this.#checkSh(block, code);
    }
  }

  async #checkJs(block: Block, code: string): Promise<void> {
    const file = block.file ?? `line-${block.line}.mjs`;
    this.#write(file, code);
    const syntax = await this.workspace.run(process.execPath, ["--check", file]);
    expect(syntax.stderr).toBe("");
    await this.#checkImports(code);
    if (block.directive.startsWith("fragment") || this.#isRunBySh(file)) return;
    const run = await this.workspace.run(process.execPath, [file]);
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    const printed = block.output === null ? printedBy(code) : await this.#lines(block.output);
    expectOutput(run.stdout, printed);
  }

  /** That our packages have what is imported from them. */
  async #checkImports(code: string): Promise<void> {
    for (const [, names = "", from = ""] of code.matchAll(/^import \{([^}]*)\} from "(@selvage\/[^"]+)"/gm)) {
      const wanted = names
        .split(",")
        .map((name) => name.trim().replace(/ as .*/, ""))
        .filter((name) => name !== "");
      const script = `import * as all from "${from}"; console.log(JSON.stringify(Object.keys(all)))`;
      const { stdout } = await this.workspace.run(process.execPath, ["--input-type=module", "-e", script]);
      expect(JSON.parse(stdout), from).toEqual(expect.arrayContaining(wanted));
    }
  }

  #isRunBySh(file: string): boolean {
    return this.#blocks.some(({ language, code }) => language === "sh" && code.split(/\s+/).includes(file));
  }

  #checkTypes(block: Block, code: string): void {
    const file = this.#write(`line-${block.line}.ts`, code);
    const program = ts.createProgram([file], {
      target: ts.ScriptTarget.ES2023,
      lib: ["lib.es2023.d.ts"],
      module: ts.ModuleKind.NodeNext,
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      customConditions: ["selvage-source"],
    });
    const problems = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
    expect(problems).toEqual([]);
  }

  #checkYaml(block: Block, code: string): void {
    const value: unknown = parse(code);
    if (typeof value !== "object" || value === null || "apiVersion" in value) return;
    if (Array.isArray(value)) {
      // Routes, in a file of their own: loaded with the configuration that names it.
      expect(block.file).not.toBeNull();
      return;
    }
    if ("rules" in value || "default" in value || "rateLimit" in value) {
      expect(Policy.parse(value, block.file ?? `line ${block.line}`).warnings).toEqual([]);
      return;
    }
    const file = this.#write(block.file ?? `line-${block.line}.yaml`, code);
    const policy = /policy:.*\bfile: ([\w./-]+)/.exec(code)?.[1];
    if (policy !== undefined && !this.#files.has(policy))
      this.#write(policy, "default: deny\nrules: [{ name: a, from: ['*'], action: allow }]\n");
    const { warnings } = loadConfig({ file, env: {}, cwd: this.workspace.directory });
    // That faults are injected is warned about wherever it is meant.
    expect(warnings.filter((warning) => !warning.includes("faults are injected"))).toEqual([]);
  }

  async #checkPython(block: Block, code: string): Promise<void> {
    const file = this.#write(block.file ?? `line-${block.line}.py`, code);
    const run = await this.workspace.run("python3", [
      "-c",
      "import ast, sys; ast.parse(open(sys.argv[1]).read())",
      file,
    ]);
    expect(run.stderr).toBe("");
  }

  async #checkSh(block: Block, code: string): Promise<void> {
    const syntax = await this.workspace.run("sh", ["-n", "-c", code]);
    expect(syntax.stderr).toBe("");
    const commands = commandsOf(code);
    const isFragment = block.directive.startsWith("fragment");
    if (isFragment || !commands.every((words) => isRunnable(words))) return checkCommands(commands);
    if (block.directive === "background") {
      this.#background.push(this.workspace.start("sh", ["-euc", code]));
      // What comes next may have one try only, since a join token serves once.
      const texts = [code, ...commands.flat().map((word) => this.#files.get(word) ?? "")];
      const ports = texts.flatMap((text) => [...text.matchAll(/(?:listen\(|--port |--app )(\d{4,5})\b/g)]);
      await Promise.all(ports.map(([, port]) => listens(Number(port), patienceMs)));
      return undefined;
    }
    const named = commands.flat().flatMap((word) => printedBy(this.#files.get(word) ?? ""));
    const expected = block.output === null ? (named.length > 0 ? named : null) : await this.#lines(block.output);
    const until = performance.now() + patienceMs;
    let run: Run;
    do {
      // What it talks to may not be there yet, or may not have seen a change of a file.
      run = await this.workspace.run("sh", ["-euc", `curl() { command curl --noproxy '*' -sS "$@"; }\n${code}`]);
    } while (performance.now() < until && (run.status !== 0 || (expected !== null && !matches(run.stdout, expected))));
    expect(run, await this.#said()).toMatchObject({ status: 0 });
    if (expected !== null) expectOutput(run.stdout, expected);
    return undefined;
  }

  /** What those in the background said, for whoever looks into a failure. */
  async #said(): Promise<string> {
    const ended = await Promise.all(this.#background.map(({ ended }) => Promise.race([ended, null])));
    return JSON.stringify(ended.filter((run) => run !== null));
  }

  async #lines(text: string): Promise<string[]> {
    return (await this.#withPorts(text)).split("\n").filter((line) => line.trim() !== "");
  }

  #write(file: string, code: string): string {
    this.#files.set(file, code);
    return this.workspace.write(file, code);
  }

  async #withPorts(text: string): Promise<string> {
    this.#ports ??= freePorts(this.#blocks);
    const ports = await this.#ports;
    return text.replace(/(?<![\w.])\d{4,5}(?![\w.])/g, (port) => ports.get(port) ?? port);
  }
}

/** A free port for each that a page's files and commands name. */
async function freePorts(blocks: readonly Block[]): Promise<ReadonlyMap<string, string>> {
  const ports = new Map<string, string>();
  for (const { code } of blocks) {
    for (const [, port = ""] of code.matchAll(
      /(?:127\.0\.0\.1:|localhost:|port: |-port |--app |listen\()(\d{4,5})\b/g,
    )) {
      if (!ports.has(port)) ports.set(port, String(await freePort()));
    }
  }
  return ports;
}

function expectOutput(actual: string, expected: readonly string[]): void {
  if (!matches(actual, expected)) expect(actual.trimEnd()).toBe(expected.join("\n").trimEnd());
}

/** Words of each command of a block, without what follows a pipe. */
function commandsOf(code: string): string[][] {
  return code
    .replace(/\\\n/g, " ")
    .split(/\n|&&/)
    .map((line) =>
      line
        .replace(/(^|\s)#.*$/, "")
        .split("|")[0]!
        .trim(),
    )
    .filter((line) => line !== "")
    .map((line) => line.split(/\s+/).filter((word, i) => i > 0 || !/^\w+=/.test(word)));
}

function isRunnable([command = "", first = ""]: readonly string[]): boolean {
  return runnable.has(command) && (command !== "npx" || first === "selvage");
}

function checkCommands(commands: readonly (readonly string[])[]): void {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  for (const [command, first, second = ""] of commands) {
    if (command === "npm" && first === "run") expect(Object.keys(scripts)).toContain(second);
    if (command === "npm" && first === "test") expect(scripts).toHaveProperty("test");
    if (command === "node" && first?.includes("/")) expect(existsSync(join(root, first)), first).toBe(true);
  }
}
