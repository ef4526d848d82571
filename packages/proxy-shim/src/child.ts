import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";

/** A program that lives and dies with its shim. */
export interface Child {
  /** Its exit status as a shell would see it: 128 + the signal's number when a signal ended it, 127 when it can't be started. */
  readonly exited: Promise<number>;
  signal(name: NodeJS.Signals): void;
  readonly running: boolean;
}

/**
 * Starts a program with this process's standard streams, and the environment given on top of this process's own.
 */
export function startChild(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Child {
  const child: ChildProcess = spawn(command, [...args], { stdio: "inherit", env: { ...process.env, ...env } });
  let running = true;
  const exited = new Promise<number>((resolve) => {
    child.once("error", (error) => {
      running = false;
      process.stderr.write(`selvage: can't start ${command}: ${error.message}\n`);
      resolve(127);
    });
    child.once("exit", (code, signal) => {
      running = false;
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
  return {
    exited,
    signal: (name) => void child.kill(name),
    get running() {
      return running;
    },
  };
}

/**
 * What makes a program's HTTP clients use the shim's outbound listener. Lower case too: curl and others read only
 * that for http. Loopback stays direct.
 *
 * @param egress the configuration says what may be called outside the mesh: then https goes there too, to be judged and counted.
 * Otherwise HTTPS_PROXY is left alone, and https goes past the mesh
 */
export function proxyEnvironment(outbound: string, egress: boolean): Record<string, string> {
  const direct = "localhost,127.0.0.1,::1";
  return {
    HTTP_PROXY: outbound,
    http_proxy: outbound,
    ...(egress && { HTTPS_PROXY: outbound, https_proxy: outbound }),
    NO_PROXY: direct,
    no_proxy: direct,
  };
}
