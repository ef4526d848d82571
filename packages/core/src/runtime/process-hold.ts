/** Long enough to never matter: the timer is for its reference, not for its time. */
const foreverMs = 2 ** 30;

/**
 * Keeps the process alive while there is work, and only then. All timers and sockets of a mesh are unreferenced, so that a
 * program ends when it is done; without this it would also end while a request waits for nothing but a timer.
 */
export class ProcessHold {
  #timer: NodeJS.Timeout | null = null;

  hold(): void {
    this.#timer ??= setInterval(() => {}, foreverMs);
    this.#timer.ref();
  }

  release(): void {
    this.#timer?.unref();
  }
}
