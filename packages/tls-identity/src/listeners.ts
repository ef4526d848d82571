/** Listeners that cannot disturb each other, or whoever calls them: what one throws is thrown again outside of the loop. */
export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>();

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
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
