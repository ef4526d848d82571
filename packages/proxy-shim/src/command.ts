import type { MeshOptions } from "@selvage/core/spi";
import { Command, Option } from "commander";
import { explainCommand } from "./explain-command.js";
import { identityCommand } from "./identity/identity-command.js";
import { portNumber } from "./port-number.js";
import { startShim } from "./shim.js";

interface Flags {
  readonly config?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly app?: string;
  readonly appProtocol?: "h1" | "h2";
  readonly port?: number;
  readonly outboundPort?: number;
  readonly adminPort?: number;
  readonly inbound?: boolean;
}

const program = new Command("selvage")
  .description("A service mesh without sidecars for Node, and with a thin one for every other language.")
  .showHelpAfterError("(selvage --help lists the commands)")
  .enablePositionalOptions();

withFlags(program.command("run"))
  .description("Start a program behind a shim that lives and dies with it.")
  .usage("[options] -- COMMAND [ARG...]")
  .argument("<command>", "the program")
  .argument("[args...]", "its arguments")
  .option("--no-inbound", "the program only calls, and serves nobody")
  .passThroughOptions()
  .action(async (command: string, args: string[], flags: Flags) => {
    const { run } = await import("./run.js");
    process.exitCode = await run({ ...shimOptions(flags), command, args });
  });

withFlags(program.command("shim"))
  .description("Run a shim beside a program that is started by somebody else.")
  .option("--no-inbound", "the program only calls, and serves nobody")
  .action(async (flags: Flags) => {
    const shim = await startShim(shimOptions(flags));
    process.stderr.write(`selvage: ready; outbound ${shim.outboundUrl}, admin ${shim.runtime.adminAddress ?? "off"}\n`);
    const stop = () => {
      for (const signal of signals) process.off(signal, stop);
      void shim.close();
    };
    const signals = ["SIGTERM", "SIGINT"] as const;
    for (const signal of signals) process.on(signal, stop);
  });

program.addCommand(explainCommand());
program.addCommand(identityCommand());

/** Does what the command line of this process says, and sets the exit status when that fails. */
export async function main(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`selvage: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 78; // EX_CONFIG of sysexits(3): what goes wrong here is the configuration or what it names
  }
}

function withFlags(command: Command): Command {
  return command
    .option("-c, --config <file>", "the configuration (default: selvage.yaml in the working directory)")
    .option("-n, --name <name>", "the workload's name")
    .option("--namespace <namespace>", "the workload's namespace")
    .option("-a, --app <address>", "where the program listens: PORT or HOST:PORT")
    .addOption(
      new Option("--app-protocol <protocol>", "what the program speaks: h1, or h2 for gRPC (default: h1)").choices([
        "h1",
        "h2",
      ]),
    )
    .option("--port <port>", "the mesh port", portNumber)
    .option("--outbound-port <port>", "the loopback port for outbound requests", portNumber)
    .option("--admin-port <port>", "the admin port", portNumber);
}

function shimOptions(flags: Flags) {
  const { name, namespace } = flags;
  const options: MeshOptions = {
    ...((name ?? namespace) !== undefined && { workload: { ...(name && { name }), ...(namespace && { namespace }) } }),
    ...((flags.app ?? flags.appProtocol ?? flags.port) !== undefined && {
      inbound: {
        ...(flags.app !== undefined && { app: flags.app.includes(":") ? flags.app : `127.0.0.1:${flags.app}` }),
        ...(flags.appProtocol !== undefined && { appProtocol: flags.appProtocol }),
        ...(flags.port !== undefined && { port: flags.port }),
      },
    }),
    ...(flags.outboundPort !== undefined && { outbound: { port: flags.outboundPort } }),
    ...(flags.adminPort !== undefined && { admin: { port: flags.adminPort } }),
  };
  return { options, inbound: flags.inbound ?? true, ...(flags.config !== undefined && { file: flags.config }) };
}
