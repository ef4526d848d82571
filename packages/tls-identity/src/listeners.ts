/** Listeners that cannot disturb each other, or whoever calls them. */
export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>();
  readonly #thrown: (error: unknown) => void;

  /** `thrown` is told what a listener throws; it must not throw itself. */
  constructor(thrown: (error: unknown) => void) {
    this.#thrown = thrown;
  }

  /** Returns the end of the subscription. */
  add(listener: (value: T) => void): () => void {
    const own = (value: T) => listener(value);
    this.#all.add(own);
    return () => this.#all.delete(own);
  }

  emit(value: T): void {
    for (const listener of [...this.#all]) {
      try {
        listener(value);
      } catch (error) {
        this.#thrown(error);
      }
    }
  }
}

/** For what a listener of failures throws: there is nobody left to tell but the process's own warnings. */
export function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)));
}
