// Arrivals at random moments (a Poisson process), each of them a wake-up of its own: a thread sleeps to the microsecond, which
// timers of an event loop can't.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { monotonicMs } from "./samples.mjs";

/** What a sleep lasts too long, by the kernel's timer slack. */
const slackMs = 0.08;

if (!isMainThread && workerData?.rate !== undefined) pace(workerData);

/** Calls back at each arrival with the moment in `process.hrtime` milliseconds; resolves after the last. */
export function arrivals({ rate, ms }, onArrival) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { rate, ms } });
  return new Promise((resolve, reject) => {
    worker.on("message", onArrival);
    worker.on("error", reject);
    worker.on("exit", resolve);
  });
}

function pace({ rate, ms }) {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const start = monotonicMs() + 20;
  let due = start;
  for (;;) {
    due -= (Math.log(1 - Math.random()) * 1_000) / rate;
    if (due > start + ms) return;
    const wait = due - monotonicMs() - slackMs;
    if (wait > 0) Atomics.wait(cell, 0, 0, wait);
    // Late or not: what counts is when it was let go, so that this thread's lateness is nobody's latency.
    parentPort.postMessage(monotonicMs());
  }
}
