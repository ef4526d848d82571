import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { IdentityError, type Inspection, inspectAddress, inspectMaterial, parseHostPort } from "@selvage/core/spi";

interface InspectFlags {
  readonly bundle?: string;
  readonly id?: string;
  readonly json?: true;
}

interface Found {
  readonly source: string;
  readonly inspections: readonly Inspection[];
}

const authorityFiles = ["root.pem", "next-root.pem", "issuer.pem", "bundle.pem"];

/** `selvage identity inspect`. Sets the exit status to 1 if anything is wrong. */
export async function inspect(what: readonly string[], flags: InspectFlags): Promise<void> {
  const terms = {
    ...(flags.bundle !== undefined && { bundle: (await contentOf(flags.bundle)).toString("utf8") }),
    ...(flags.id !== undefined && { expected: flags.id }),
  };
  const found: Found[] = [];
  for (const source of what.flatMap(expand)) {
    try {
      const address = addressOf(source);
      const inspections =
        address === null ? inspectMaterial(await contentOf(source), terms) : await inspectAddress(address, terms);
      found.push({ source, inspections });
    } catch (error) {
      throw IdentityError.is(error)
        ? new Error(`${source}: ${error.message}`, { cause: error })
        : connectionError(source, error);
    }
  }
  process.stdout.write(flags.json ? `${JSON.stringify(found, null, 2)}\n` : found.map(render).join("\n"));
  if (found.some(({ inspections }) => inspections.some(({ problems }) => problems.length > 0))) process.exitCode = 1;
}

/** An authority's directory stands for the files in it. */
function expand(what: string): string[] {
  if (!existsSync(what) || !statSync(what).isDirectory()) return [what];
  const files = authorityFiles.map((name) => join(what, name)).filter((path) => existsSync(path));
  if (files.length === 0) throw new Error(`${what}: there is no authority in this directory; name a file`);
  return files;
}

function addressOf(source: string): { readonly host: string; readonly port: number } | null {
  if (source === "-" || existsSync(source)) return null;
  if (source.startsWith("https://")) return addressOfUrl(source);
  const address = parseHostPort(source);
  return "problem" in address ? null : address;
}

/** What a server presents has nothing to do with the path; who names one wants what is there. */
function addressOfUrl(source: string): { readonly host: string; readonly port: number } {
  const url = URL.canParse(source) ? new URL(source) : null;
  if (url === null) throw new Error(`${source}: is no URL; name a file, or an address as host:port`);
  if (url.pathname !== "/" || url.search !== "")
    throw new Error(
      `${source}: documents are not fetched; name ${url.host} for the server's certificate, or: curl --insecure ${source} | selvage identity inspect -`,
    );
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 443) };
}

async function contentOf(path: string): Promise<Buffer> {
  if (path === "-") {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const remedy = code === "ENOENT" ? "; name a file, or an address as host:port" : "";
    throw new Error(`${path}: cannot be read (${code})${remedy}`, { cause: error });
  }
}

const remedies: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOTFOUND: "there is no such host",
  ETIMEDOUT: "nobody answered within 5 s",
  ECONNRESET: "the connection was closed before a certificate came; is it the mesh port?",
  ERR_SSL_WRONG_VERSION_NUMBER: "what listens there does not speak TLS; is it the mesh port?",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "what listens there does not speak TLS; is it the mesh port?",
};

function connectionError(source: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined || !Object.hasOwn(remedies, code)) return error;
  return new Error(`${source}: ${remedies[code]} (${code})`, { cause: error });
}

function render({ source, inspections }: Found): string {
  return `${source}\n${inspections.map(renderOne).join("\n")}`;
}

function renderOne({ what, facts, problems }: Inspection): string {
  const lines = [`  ${what}`];
  const entries = Object.entries(facts);
  const width = Math.max(9, ...entries.map(([name]) => name.length));
  for (const [name, value] of entries)
    lines.push(`    ${name.padEnd(width)}  ${printable(typeof value === "string" ? value : value.join(", "))}`);
  if (problems.length === 0) lines.push(`    ${"verdict".padEnd(width)}  nothing is wrong with it`);
  for (const { reason, text } of problems) lines.push(`    ${"PROBLEM".padEnd(width)}  ${reason}: ${printable(text)}`);
  return `${lines.join("\n")}\n`;
}

/** What a certificate says is somebody else's text, and goes to a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
