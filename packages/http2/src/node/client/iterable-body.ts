import { type BodyOwner, badChunk, chunkBytes, RequestBody } from "./request-body.js";

type Step = IteratorResult<unknown, unknown>;

interface Steps {
  next(): Step | PromiseLike<Step>;
  return?(value?: unknown): unknown;
}

/** A body read from an iterable or async iterable, pulled only as fast as the peer takes it. */
export class IterableBody extends RequestBody {
  readonly #source: AsyncIterable<unknown> | Iterable<unknown>;
  #steps: Steps | null = null;
  #waiting = false;

  constructor(owner: BodyOwner, source: AsyncIterable<unknown> | Iterable<unknown>, length: number) {
    super(owner, length);
    this.#source = source;
  }

  protected override flow(): void {
    try {
      this.#steps ??= openSteps(this.#source);
      while (!this.#waiting && !this.paused && !this.done) {
        const step = this.#steps.next();
        if (isThenable(step)) this.#await(step);
        else this.#take(step);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  protected override releaseSource(): void {
    const steps = this.#steps;
    // A source that never ran has nothing to clean up, except a web stream, whose owner wants to know.
    const returned = attempt(() => {
      if (steps !== null) return steps.return?.();
      const { cancel, locked } = this.#source as { cancel?: unknown; locked?: unknown };
      return typeof cancel === "function" && locked === false ? cancel.call(this.#source) : undefined;
    });
    if (isThenable(returned)) returned.then(undefined, ignore);
  }

  #await(step: PromiseLike<unknown>): void {
    this.#waiting = true;
    step.then(this.#onStep, this.#onFailure);
  }

  #take(step: Step): void {
    if (typeof step !== "object" || step === null) throw new TypeError("iterator result is not an object");
    if (step.done === true) this.finish();
    else if (isThenable(step.value)) this.#await(step.value.then(asStep));
    else {
      const bytes = chunkBytes(step.value);
      if (bytes === null) throw badChunk(step.value);
      this.deliver(bytes);
    }
  }

  readonly #onStep = (step: unknown): void => {
    this.#waiting = false;
    if (this.done) return;
    try {
      this.#take(step as Step);
    } catch (error) {
      this.fail(error);
    }
    if (!this.done) this.flow();
  };

  readonly #onFailure = (error: unknown): void => {
    this.#waiting = false;
    this.fail(error);
  };
}

function openSteps(source: AsyncIterable<unknown> | Iterable<unknown>): Steps {
  const asynchronous = (source as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator];
  return typeof asynchronous === "function"
    ? asynchronous.call(source)
    : (source as Iterable<unknown>)[Symbol.iterator]();
}

function asStep(value: unknown): Step {
  return { done: false, value };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function attempt(action: () => unknown): unknown {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function ignore(): void {}
