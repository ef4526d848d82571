import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createDevSource, SpiffeId } from "@selvage/tls-identity";
import { createTestTrust } from "@selvage/tls-identity/testing";

/** Files with which programs of other makers prove who they are. */
export interface Credentials {
  readonly id: string;
  /** PEM: the SVID and its intermediates. */
  readonly cert: string;
  /** PEM: the private key. */
  readonly key: string;
  /** PEM: the roots by which the mesh's own certificates are believed. */
  readonly roots: string;
  /** PEM: `cert` and `key` in one. */
  readonly both: string;
}

/** An SVID of the development authority in a state directory, written to files there. */
export async function exportSvid(stateDir: string, name: string): Promise<Credentials> {
  const id = SpiffeId.parse(`spiffe://dev.selvage/ns/test/sa/${name}`);
  const source = createDevSource({ stateDir, id });
  const { chainPem, key, bundles } = await source.ready();
  source.close();
  const roots = bundles.get(id.trustDomain)?.roots ?? [];
  return write(stateDir, name, id, {
    cert: chainPem,
    key: String(key.export({ type: "pkcs8", format: "pem" })),
    bundle: roots.map(pem).join(""),
  });
}

/** An SVID of an authority that the mesh doesn't know, for an id that it would believe. */
export function strangerSvid(directory: string): Credentials {
  const id = SpiffeId.parse("spiffe://a.example/ns/test/sa/stranger");
  return write(directory, "stranger", id, createTestTrust().files(id));
}

function write(
  directory: string,
  name: string,
  id: SpiffeId,
  { cert, key, bundle }: { readonly cert: string; readonly key: string; readonly bundle: string },
): Credentials {
  const file = (kind: string, text: string) => {
    const path = join(directory, `${name}.${kind}.pem`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  return {
    id: id.toString(),
    cert: file("cert", cert),
    key: file("key", key),
    roots: file("roots", bundle),
    both: file("both", `${cert}${cert.endsWith("\n") ? "" : "\n"}${key}`),
  };
}

function pem(der: Uint8Array): string {
  const base64 = Buffer.from(der)
    .toString("base64")
    .replace(/(.{64})(?!$)/g, "$1\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}
