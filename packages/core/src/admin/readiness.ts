/**
 * What keeps a workload from being ready: a set of named blockers. Ready when it is empty. Whoever blocks holds the
 * only way to unblock.
 */
export class Readiness {
  readonly #blockers = new Map<symbol, string>();

  /** Adds a blocker, named for those who read `/ready`. The returned function removes it; calling it again does nothing. */
  block(name: string): () => void {
    const key = Symbol(name);
    this.#blockers.set(key, name);
    return () => void this.#blockers.delete(key);
  }

  get ready(): boolean {
    return this.#blockers.size === 0;
  }

  /** The names of what blocks now, oldest first. */
  get blockers(): readonly string[] {
    return [...this.#blockers.values()];
  }
}
