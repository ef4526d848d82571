// A child process on one CPU, with what it used: CPU time by the scheduler's nanosecond counters, memory by the kernel's.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.process.kill("SIGKILL");
});

export class PinnedProcess {
  /** `cpu`: 0 for what is measured, 1 for what loads it. `node`: run a program of ours, which then says when it is ready. */
  static async start(command, args, { cpu, cwd, ipc = false, port, pattern, env } = {}) {
    const started = performance.now();
    const child = new PinnedProcess(command, args, { cpu, cwd, ipc, env });
    if (pattern !== undefined) await child.printed(pattern);
    if (port !== undefined) await child.listens(port);
    if (ipc) child.info = await child.#reply();
    child.readyMs = performance.now() - started;
    return child;
  }

  /** One of `programs/`: takes its options as JSON, answers messages, and says `{ ready }` first. */
  static program(name, options, cpu) {
    const file = new URL(`programs/${name}.mjs`, import.meta.url).pathname;
    const flags = (process.env.BENCH_NODE_FLAGS ?? "").split(" ").filter(Boolean);
    return PinnedProcess.start(process.execPath, [...flags, file, JSON.stringify(options)], { cpu, ipc: true });
  }

  info = null;
  readyMs = 0;
  #output = "";
  #waiting = [];
  #replies = [];
  #ended = null;

  constructor(command, args, { cpu, cwd, ipc, env }) {
    this.cpu = cpu;
    this.name = args.find((argument) => argument.endsWith(".mjs"))?.replace(/.*\//, "") ?? command;
    this.process = spawn("taskset", ["-c", String(cpu), command, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe", ...(ipc ? ["ipc"] : [])],
    });
    running.add(this);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (chunk) => {
        this.#output = (this.#output + chunk).slice(-20_000);
        this.onOutput?.();
      });
    }
    this.process.on("error", (error) => this.#end(error));
    this.process.on("exit", (code, signal) => this.#end(new Error(`${this.name} ended (${code ?? signal})`)));
    this.process.on("message", (message) => {
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#replies.push(message);
      else if (message.error) waiter.reject(new Error(`${this.name}: ${message.error}`));
      else waiter.resolve(message);
    });
  }

  get output() {
    return this.#output;
  }

  ask(message) {
    this.process.send(message);
    return this.#reply();
  }

  /** CPU used so far by all threads, in microseconds. */
  cpuUs() {
    let ns = 0;
    const { pid } = this.process;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]);
      } catch {
        // The thread ended since it was listed.
      }
    }
    return ns / 1_000;
  }

  /** In MiB. `peak` is since the start, or since `resetPeak`. */
  memory() {
    const { pid } = this.process;
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    const kib = (text, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
    return {
      rss: kib(status, "VmRSS") / 1024,
      peak: kib(status, "VmHWM") / 1024,
      private: (kib(rollup, "Private_Clean") + kib(rollup, "Private_Dirty")) / 1024,
    };
  }

  resetPeak() {
    writeFileSync(`/proc/${this.process.pid}/clear_refs`, "5");
  }

  async printed(pattern) {
    while (!pattern.test(this.#output)) {
      if (this.#ended) throw this.#failure();
      await new Promise((resolve) => {
        this.onOutput = resolve;
        setTimeout(resolve, 50);
      });
    }
  }

  async listens(port) {
    for (let tries = 0; tries < 1_000; tries += 1) {
      if (this.#ended) throw this.#failure();
      const open = await new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
        socket.on("connect", () => socket.destroy());
      });
      if (open) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`${this.name}: nothing listens on ${port}`);
  }

  /** Resolves with the exit status. */
  async exited() {
    await new Promise((resolve) => {
      if (this.#ended) resolve();
      else this.process.once("close", resolve);
    });
    return this.process.exitCode;
  }

  async stop(signal = "SIGTERM") {
    if (this.#ended) return;
    this.stopping = true;
    this.process.kill(signal);
    const hard = setTimeout(() => this.process.kill("SIGKILL"), 2_000);
    await this.exited();
    clearTimeout(hard);
  }

  #reply() {
    if (this.#ended) return Promise.reject(this.#failure());
    const message = this.#replies.shift();
    if (message?.error) return Promise.reject(new Error(`${this.name}: ${message.error}`));
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #failure() {
    return new Error(`${this.#ended.message}\n${this.#output}`);
  }

  #end(error) {
    this.#ended ??= error;
    running.delete(this);
    this.onOutput?.();
    // What it printed last arrives after its end.
    setTimeout(() => {
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failure());
    }, 50);
  }
}

/** Busy time of a CPU, in microseconds, to hundredths of a second. */
export function busyUs(cpu) {
  const line = readFileSync("/proc/stat", "latin1").split("\n")[cpu + 1];
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) * 10_000;
}
