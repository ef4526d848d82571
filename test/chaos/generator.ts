// Sends a load from a process of its own: `generator.mjs`, and then messages. The library is in here too, in cells that have it.
import { capacity, drive } from "./load.js";
import { createSender, type Sender, type SenderOptions } from "./senders.js";

/** What a test asks of a generator. Each is answered once. */
export type GeneratorTask =
  | { readonly what: "begin"; readonly options: SenderOptions }
  | { readonly what: "capacity" }
  | { readonly what: "drive"; readonly perSecond: number; readonly seconds: number };

let sender: Sender | null = null;
let next = 0;
let stop = () => {};

process.on("message", (task: GeneratorTask | "stop") => {
  if (task === "stop") stop();
  else void answer(task).then((said) => process.send?.(said));
});

process.once("SIGTERM", () => void Promise.resolve(sender?.close()).finally(() => process.exit(0)));
process.once("disconnect", () => process.exit(0));

async function answer(task: GeneratorTask): Promise<unknown> {
  if (task.what === "begin") {
    sender = await createSender(task.options);
    return "so be it";
  }
  const send = (i: number) => sender!.send(i);
  if (task.what === "capacity") return await capacity(send);
  const { perSecond, seconds } = task;
  const until = new Promise<void>((resolve) => {
    stop = resolve;
  });
  const report = await drive({ perSecond, seconds, from: next, until, send });
  // Even, so that odd numbers stay those of POSTs.
  next += report.sent + (report.sent % 2);
  return report.summary(perSecond);
}
