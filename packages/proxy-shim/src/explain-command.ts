import { Command } from "commander";

/** `selvage explain METHOD URL`: what a running workload would do with a call. */
export function explainCommand(): Command {
  return new Command("explain")
    .description(
      "Say what a workload would do with a call: its route, attempts, budget and endpoints. Nothing is sent.",
    )
    .argument("<method>", "GET, POST …")
    .argument("<url>", "such as http://inventory.shop/items/7")
    .option("--admin <url>", "the workload's admin port", "http://127.0.0.1:4191")
    .option("-H, --header <name:value>", "a header of the call; may be repeated", collect, [] as string[])
    .option("--json", "as the admin port says it")
    .action(async (method: string, url: string, flags: ExplainFlags) => {
      process.exitCode = await (await import("./explain.js")).explain({ method, url, ...flags });
    });
}

interface ExplainFlags {
  readonly admin: string;
  readonly header: string[];
  readonly json?: boolean;
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
