import { randomBytes } from "node:crypto";

/** The parts of a FormData that writing it needs. Also userland implementations have them. */
export interface FormDataLike {
  [Symbol.iterator](): Iterator<[string, unknown]>;
}

export interface BlobLike {
  readonly size: number;
  readonly type: string;
  readonly name?: string;
  stream?(): AsyncIterable<Uint8Array>;
  arrayBuffer?(): Promise<ArrayBuffer>;
}

const formDataMethods = ["append", "delete", "get", "getAll", "has", "set"] as const;

export function isFormDataLike(value: object): value is FormDataLike {
  const candidate = value as Record<string | symbol, unknown>;
  return (
    candidate[Symbol.toStringTag] === "FormData" &&
    formDataMethods.every((name) => typeof candidate[name] === "function")
  );
}

export function isBlobLike(value: object): value is BlobLike {
  const candidate = value as Record<string | symbol, unknown>;
  const tag = candidate[Symbol.toStringTag];
  return (
    (tag === "Blob" || tag === "File") &&
    typeof candidate["size"] === "number" &&
    (typeof candidate["stream"] === "function" || typeof candidate["arrayBuffer"] === "function")
  );
}

/** A form written as multipart/form-data (RFC 7578, with the escapes of the Fetch and HTML standards). */
export class Multipart implements AsyncIterable<Uint8Array> {
  readonly contentType: string;
  readonly length: number;
  readonly #parts: (Uint8Array | BlobLike)[] = [];

  constructor(form: FormDataLike) {
    const boundary = `----formdata-${randomBytes(12).toString("hex")}`;
    this.contentType = `multipart/form-data; boundary=${boundary}`;
    let length = 0;
    const add = (text: string): void => {
      const bytes = Buffer.from(text);
      this.#parts.push(bytes);
      length += bytes.byteLength;
    };
    for (const [name, value] of form) {
      const disposition = `--${boundary}\r\nContent-Disposition: form-data; name="${escapeName(withCrlf(String(name)))}"`;
      if (typeof value === "object" && value !== null && isBlobLike(value)) {
        const file = value.name === undefined || value.name === "" ? "" : `; filename="${escapeName(value.name)}"`;
        const type = value.type === "" || /[^\t\x20-\x7e]/.test(value.type) ? "application/octet-stream" : value.type;
        add(`${disposition}${file}\r\nContent-Type: ${type}\r\n\r\n`);
        this.#parts.push(value);
        length += value.size;
        add("\r\n");
      } else {
        add(`${disposition}\r\n\r\n${withCrlf(String(value))}\r\n`);
      }
    }
    add(`--${boundary}--\r\n`);
    this.length = length;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (const part of this.#parts) {
      if (part instanceof Uint8Array) yield part;
      else yield* blobChunks(part);
    }
  }
}

/** The bytes of a Blob, also of one that can only be read as a whole. */
export async function* blobChunks(blob: BlobLike): AsyncGenerator<Uint8Array, void, undefined> {
  if (blob.stream !== undefined) yield* blob.stream();
  else yield new Uint8Array(await blob.arrayBuffer!());
}

function escapeName(name: string): string {
  return name.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
}

function withCrlf(text: string): string {
  return text.replace(/\r?\n|\r/g, "\r\n");
}
