import { resolve } from "node:path";
import {
  initAuthority,
  inspectAuthority,
  type RootRotationStep,
  readTrustDomain,
  rotateIssuer,
  rotateRoot,
} from "@selvage/core/spi";
import { durationFlag } from "./duration-flag.js";

const dayMs = 86_400_000;

interface DirectoryFlags {
  readonly directory: string;
}

/** `selvage identity init` */
export async function init(
  flags: DirectoryFlags & { readonly trustDomain: string; readonly rootDays: number; readonly issuerDays: number },
): Promise<void> {
  const { directory, trustDomain } = flags;
  const lifetimes = { rootLifetimeMs: flags.rootDays * dayMs, issuerLifetimeMs: flags.issuerDays * dayMs };
  await initAuthority({ directory, trustDomain }, lifetimes);
  process.stdout.write(`An authority for ${trustDomain} is in ${resolve(directory)}:\n\n`);
  await show(directory, trustDomain);
  process.stdout.write(
    [
      "",
      "Give bundle.pem to every workload (identity.bundle). root.pem and issuer.pem hold private keys. The service needs issuer.pem",
      "and bundle.pem; keep root.pem where it is safe, and bring it back to change issuer or root.",
      "",
      `Next: selvage identity serve --directory ${directory}`,
      "",
    ].join("\n"),
  );
}

/** `selvage identity rotate-issuer` */
export async function rotateIssuerOf(flags: DirectoryFlags & { readonly issuerDays: number }): Promise<void> {
  const { directory } = flags;
  const trustDomain = await readTrustDomain(directory);
  await rotateIssuer({ directory, trustDomain }, { issuerLifetimeMs: flags.issuerDays * dayMs });
  process.stdout.write("The issuer is new; what the old one signed stays good until it ends.\n\n");
  await show(directory, trustDomain);
}

const after: Readonly<Record<RootRotationStep, string>> = {
  prepare:
    "Both roots are in bundle.pem. Bring it to every workload, and to the trust domains that are federated with this one; then\n`selvage identity rotate-root activate`.",
  activate:
    "The service issues below the new root from now on. When every leaf of the old one has ended:\n`selvage identity rotate-root finish`.",
  finish: "The old root is out of bundle.pem. Bring it to every workload.",
};

/** `selvage identity rotate-root` */
export async function rotateRootOf(
  step: RootRotationStep,
  flags: DirectoryFlags & { readonly rootDays: number; readonly issuerDays: number; readonly lifetime: string },
): Promise<void> {
  const { directory } = flags;
  const trustDomain = await readTrustDomain(directory);
  await rotateRoot(
    { directory, trustDomain },
    {
      step,
      leafLifetimeMs: durationFlag("--lifetime", flags.lifetime),
      rootLifetimeMs: flags.rootDays * dayMs,
      issuerLifetimeMs: flags.issuerDays * dayMs,
    },
  );
  await show(directory, trustDomain);
  process.stdout.write(`\n${after[step]}\n`);
}

async function show(directory: string, trustDomain: string): Promise<void> {
  for (const { role, subject, notBefore, notAfter, sha256 } of await inspectAuthority({ directory, trustDomain })) {
    const span = `${notBefore.slice(0, 10)} to ${notAfter.slice(0, 10)}`;
    process.stdout.write(`  ${role.padEnd(10)}${subject.padEnd(28)}${span}  ${sha256.slice(0, 23)}…\n`);
  }
}
