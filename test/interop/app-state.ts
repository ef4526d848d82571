import type { ServerResponse } from "node:http";

/** What the applications of the suite remember and wait for, by a key that each test chooses. */
export class AppState {
  readonly #promises = new Map<string, { readonly promise: Promise<void>; readonly settle: () => void }>();
  readonly #produced = new Map<string, number>();

  /** The application has the request. */
  readonly arrived = (key: string): Promise<void> => this.#at(`arrived ${key}`).promise;
  /** The application heard that the caller is gone before the response was whole. */
  readonly aborted = (key: string): Promise<void> => this.#at(`aborted ${key}`).promise;
  /** Lets the second event of a stream of events go. */
  readonly open = (key: string): void => this.#at(`open ${key}`).settle();
  /** How many bytes of an endless stream were asked for. */
  readonly produced = (key: string): number => this.#produced.get(key) ?? 0;

  /** Notes the end of a response that the application leaves open. */
  watch(key: string, res: ServerResponse): void {
    res.on("close", () => {
      if (!res.writableFinished) this.#at(`aborted ${key}`).settle();
    });
    this.#at(`arrived ${key}`).settle();
  }

  /** Two pieces of data, the second not before somebody opened the gate. */
  async *events(key: string): AsyncGenerator<string> {
    yield "first";
    await this.#at(`open ${key}`).promise;
    yield "second";
  }

  /** Chunks until nobody wants more. */
  async *endless(key: string): AsyncGenerator<Buffer> {
    const chunk = Buffer.alloc(16_384, "endless ");
    try {
      for (;;) {
        this.#produced.set(key, this.produced(key) + chunk.length);
        yield chunk;
      }
    } finally {
      this.#at(`aborted ${key}`).settle();
    }
  }

  #at(name: string): { readonly promise: Promise<void>; readonly settle: () => void } {
    let found = this.#promises.get(name);
    if (found === undefined) {
      let settle = () => {};
      const promise = new Promise<void>((resolve) => {
        settle = resolve;
      });
      found = { promise, settle };
      this.#promises.set(name, found);
    }
    return found;
  }
}
