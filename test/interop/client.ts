import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";

/** A file in a form. */
export interface Upload {
  readonly title: string;
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
}

/** A call as a feature describes it. Each client makes it in its own idiom. */
export interface Call {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** Absolute, of the client's scheme. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly upload?: Upload;
  /** Sent without a length. */
  readonly chunks?: Iterable<Buffer>;
  /** @defaultValue false */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** Null where the client doesn't show them. */
  readonly trailers: Readonly<Record<string, unknown>> | null;
  /** Statuses of informational responses; null where the client doesn't show them. */
  readonly informational: readonly number[] | null;
}

/** A response whose body is read piece by piece. */
export interface Streamed {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array>;
  /** Gives it up. */
  abort(): void;
}

export interface Client {
  readonly name: string;
  readonly scheme: "http" | "https";
  /** What it can't do, and why. */
  readonly lacks: Readonly<Record<string, string>>;
  send(call: Call): Promise<Answer>;
  open(call: Call): Promise<Streamed>;
  /** A call that the client itself gives up after so many milliseconds. */
  sendWithin(timeoutMs: number, call: Call): Promise<Answer>;
}

export function headersOf(raw: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.append(name, one);
  }
  return headers;
}

export function formDataOf({ title, name, type, bytes }: Upload, make: typeof FormData = FormData): FormData {
  const form = new make();
  form.set("title", title);
  form.set("file", new Blob([new Uint8Array(bytes)], { type }), name);
  return form;
}

/** A body for clients that have no idioms. */
export async function plainBodyOf(
  call: Call,
): Promise<{ headers: Record<string, string>; body: Buffer | Readable | null }> {
  const headers = { ...call.headers };
  if (call.chunks !== undefined) return { headers, body: Readable.from(call.chunks, { objectMode: false }) };
  const web =
    call.json !== undefined
      ? Response.json(call.json)
      : call.form !== undefined
        ? new Response(new URLSearchParams(call.form))
        : call.upload !== undefined
          ? new Response(formDataOf(call.upload))
          : null;
  if (web === null) return { headers, body: null };
  headers["content-type"] ??= web.headers.get("content-type") ?? "";
  return { headers, body: Buffer.from(await web.arrayBuffer()) };
}

export async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
