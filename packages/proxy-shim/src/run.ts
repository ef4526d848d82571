import { proxyEnvironment, startChild } from "./child.js";
import { portOpened } from "./port-open.js";
import { type ShimOptions, startShim } from "./shim.js";

export interface RunOptions extends ShimOptions {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * Starts a program behind a shim that lives and dies with it, and returns its exit status. The shim is ready before the
 * program starts; others are told of it when it accepts connections. SIGTERM and SIGHUP drain first, then go to the program;
 * so does SIGINT when it did not come from a terminal, which sends it to the program by itself.
 */
export async function run({ command, args, ...options }: RunOptions): Promise<number> {
  const shim = await startShim({ ...options, announce: false });
  const { inbound, outbound } = shim.runtime.config;
  const { app } = inbound;
  const child = startChild(command, args, {
    ...proxyEnvironment(shim.outboundUrl, outbound.egress.allow.length > 0),
    ...(options.inbound === false ? {} : { PORT: String(app.port) }),
  });

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return child.signal(signal);
    stopping = true;
    void shim.drainInbound().finally(() => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.signal(signal);
    });
  };
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) process.on(signal, stop);

  if (options.inbound !== false) {
    void portOpened(app.host, app.port, () => child.running && !stopping).then((open) => open && shim.announce());
  }
  const status = await child.exited;
  await shim.close();
  return status;
}
