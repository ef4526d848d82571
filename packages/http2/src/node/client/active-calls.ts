/** One member of {@link ActiveCalls}. The fields belong to it. */
export interface ActiveCall {
  activePrevious: ActiveCall | null;
  activeNext: ActiveCall | null;
  abort(reason: Error): void;
}

/** The requests that a dispatcher has in flight, so that it can be closed and destroyed. */
export class ActiveCalls {
  #first: ActiveCall | null = null;
  /** Called when the last one ends. */
  onIdle: (() => void) | null = null;

  get idle(): boolean {
    return this.#first === null;
  }

  add(call: ActiveCall): void {
    call.activeNext = this.#first;
    if (this.#first !== null) this.#first.activePrevious = call;
    this.#first = call;
  }

  remove(call: ActiveCall): void {
    const { activePrevious: previous, activeNext: next } = call;
    if (previous !== null) previous.activeNext = next;
    else if (this.#first === call) this.#first = next;
    else return;
    if (next !== null) next.activePrevious = previous;
    call.activePrevious = null;
    call.activeNext = null;
    if (this.#first === null) this.onIdle?.();
  }

  abortAll(reason: Error): void {
    for (let call = this.#first; call !== null; call = this.#first) {
      this.remove(call);
      call.abort(reason);
    }
  }
}
