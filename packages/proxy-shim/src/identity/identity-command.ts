import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { portNumber } from "../port-number.js";
import type { ServeFlags } from "./serve.js";

// Whoever runs a shim loads none of what is behind these commands.

/** `selvage identity`: an authority of one's own, its service and its join tokens, and a look at anybody's certificates. */
export function identityCommand(): Command {
  const command = new Command("identity")
    .description("Run an identity service, and explain certificates.")
    .showHelpAfterError("(selvage identity --help lists the commands)");
  command.addCommand(initCommand());
  command.addCommand(serveCommand());
  command.addCommand(rotateIssuerCommand());
  command.addCommand(rotateRootCommand());
  command.addCommand(inspectCommand());
  command.addCommand(tokenCommand());
  return command;
}

function initCommand(): Command {
  return inDirectory(new Command("init"))
    .description("Make an authority: a root, an issuer below it, and the trust bundle that workloads get.")
    .requiredOption("-t, --trust-domain <domain>", "the trust domain, such as prod.example")
    .option("--root-days <days>", "lifetime of the root", days, 3650)
    .option("--issuer-days <days>", "lifetime of the issuer", days, 365)
    .action(async (flags) => (await import("./authority.js")).init(flags));
}

function rotateIssuerCommand(): Command {
  return inDirectory(new Command("rotate-issuer"))
    .description("Make a new issuer below the present root. Running services take it up by themselves.")
    .option("--issuer-days <days>", "lifetime of the issuer", days, 365)
    .action(async (flags) => (await import("./authority.js")).rotateIssuerOf(flags));
}

function rotateRootCommand(): Command {
  return inDirectory(new Command("rotate-root"))
    .description("Change the root in three steps, so that at no time two workloads disbelieve each other.")
    .addArgument(new Argument("<step>", "the step").choices(["prepare", "activate", "finish"]))
    .option("--root-days <days>", "lifetime of the new root", days, 3650)
    .option("--issuer-days <days>", "lifetime of the issuer below it", days, 365)
    .option("--lifetime <duration>", "longest lifetime of a leaf, which finish waits for", "24h")
    .action(async (step, flags) => (await import("./authority.js")).rotateRootOf(step, flags));
}

function serveCommand(): Command {
  return new Command("serve")
    .description("Run the identity service: issue certificates to workloads that prove who they are.")
    .option("-c, --config <file>", "a YAML file with what the flags say; flags win")
    .option("-d, --directory <directory>", "of the authority")
    .option("-t, --trust-domain <domain>", "the trust domain (default: the root's)")
    .option("--id <id>", "what the service itself is (default: spiffe://<trust domain>/ns/selvage/sa/identity)")
    .option("--host <address>", "where to listen (default: all addresses)")
    .option("-p, --port <port>", "where to listen (default: 8080)", portNumber)
    .option("--rules <file>", "who may have which id: JSON")
    .option("--jwks <file-or-url>", "believe JWTs that these keys signed; needs --issuer")
    .option("--issuer <issuer>", "the `iss` of these JWTs")
    .option("--audience <audience>", "the `aud` of these JWTs (default: identity.l5d.io)")
    .option("--join-tokens <directory>", "where join tokens are (default: join-tokens in the directory)")
    .option("--kubernetes", "believe service accounts of the cluster that this runs in")
    .option("--no-renew-by-svid", "make workloads prove themselves by a token at each renewal too")
    .option("--lifetime <duration>", "lifetime of a leaf (default: 24h)")
    .option("--audit <file>", "append a line of JSON for each decision")
    .addOption(
      new Option(
        "--bundle-port <port>",
        "where other trust domains fetch the bundle: https://HOST:PORT/bundle",
      ).argParser(portNumber),
    )
    .option(
      "--bundle-cert <file>",
      "certificate of the public web for it, with --bundle-key (default: an SVID, for https_spiffe)",
    )
    .option("--bundle-key <file>", "its private key")
    .addOption(
      new Option("--admin-port <port>", "for /live, /ready and /metrics, on loopback (default: 4192)").argParser(
        portNumber,
      ),
    )
    .option("--no-admin", "no admin port")
    .action(async (flags: ServeFlags) => (await import("./serve.js")).serve(flags));
}

function inspectCommand(): Command {
  return new Command("inspect")
    .description(
      "Explain certificates, chains, bundles and CSRs, and what a server presents. Exits with 1 if anything is wrong.",
    )
    .argument(
      "<what...>",
      "files (PEM, DER, SPIFFE bundle documents), an authority's directory, or host:port; - for standard input",
    )
    .option("-b, --bundle <file>", "the trust bundle to verify chains by")
    .option("--id <id>", "the id that has to be there")
    .option("--json", "for programs")
    .action(async (what, flags) => (await import("./inspect.js")).inspect(what, flags));
}

function tokenCommand(): Command {
  const command = new Command("token").description("Join tokens: each serves once, for one id.");
  command.addCommand(
    inDirectory(new Command("create"))
      .description("Make a join token and print it.")
      .requiredOption("--id <id>", "the SPIFFE id that the token is for")
      .option("--lifetime <duration>", "how long it can be used", "1h")
      .option("--join-tokens <directory>", "where join tokens are (default: join-tokens in the directory)")
      .option("-o, --output <file>", "write it to a file that only you can read")
      .action(async (flags) => (await import("./token.js")).createToken(flags)),
  );
  command.addCommand(
    inDirectory(new Command("list"))
      .description("List the join tokens that have not been used.")
      .option("--join-tokens <directory>", "where join tokens are (default: join-tokens in the directory)")
      .option("--json", "for programs")
      .action(async (flags) => (await import("./token.js")).listTokens(flags)),
  );
  command.addCommand(
    inDirectory(new Command("revoke"))
      .description("Take a join token back.")
      .argument("<name>", "as list shows it, or the token itself")
      .option("--join-tokens <directory>", "where join tokens are (default: join-tokens in the directory)")
      .action(async (name, flags) => (await import("./token.js")).revokeToken(name, flags)),
  );
  return command;
}

function inDirectory(command: Command): Command {
  return command.option("-d, --directory <directory>", "of the authority", "authority");
}

function days(text: string): number {
  const count = Number(text);
  if (/^\d{1,5}$/.test(text) && count >= 1 && count <= 20_000) return count;
  throw new InvalidArgumentError("must be a number of days, 1 to 20000.");
}
