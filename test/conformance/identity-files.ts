import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshOptions } from "@selvage/core";
import { SpiffeId } from "@selvage/tls-identity";
import type { TestTrust } from "@selvage/tls-identity/testing";

/** Identities of a test's trust domain in files of a directory that goes with `remove`. */
export class IdentityFiles {
  readonly directory = mkdtempSync(join(tmpdir(), "identity-"));
  readonly #trust: TestTrust;

  constructor(trust: TestTrust) {
    this.#trust = trust;
    writeFileSync(this.#path("b.pem"), trust.files(SpiffeId.parse("spiffe://b.example/any")).bundle);
  }

  /** The configuration of a workload of `a.example` that also believes `b.example`. */
  optionsOf(name: string): MeshOptions {
    const files = this.#trust.files(SpiffeId.parse(idOf(name)));
    for (const [part, text] of Object.entries(files))
      writeFileSync(this.#path(`${name}.${part}`), text, { mode: 0o600 });
    return {
      workload: { name, namespace: "test", trustDomain: "a.example" },
      identity: {
        source: "files",
        cert: this.#path(`${name}.cert`),
        key: this.#path(`${name}.key`),
        bundle: this.#path(`${name}.bundle`),
        federation: { bundles: { "b.example": this.#path("b.pem") } },
      },
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #path(name: string): string {
    return join(this.directory, name);
  }
}

export function idOf(name: string): string {
  return `spiffe://a.example/ns/test/sa/${name}`;
}
