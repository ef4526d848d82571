// A certificate authority and leaves for a benchmark, by the openssl command: ECDSA P-256, one SPIFFE id each.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const trustDomain = "bench.example";
export const spiffeId = (name) => `spiffe://${trustDomain}/ns/bench/sa/${name}`;

const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

export class Certificates {
  constructor(directory) {
    this.directory = directory;
    this.ca = join(directory, "ca.pem");
    const extensions = [
      "basicConstraints=critical,CA:TRUE",
      "keyUsage=critical,keyCertSign,cRLSign",
      `subjectAltName=URI:spiffe://${trustDomain}`,
    ];
    this.#openssl(["-out", this.ca, "-keyout", this.#path("ca", "key"), "-subj", "/O=Bench/CN=Bench CA"], extensions);
  }

  /** Paths of a workload's files; `both` holds certificate and key, as HAProxy wants them. */
  issue(name) {
    const files = { cert: this.#path(name, "pem"), key: this.#path(name, "key"), both: this.#path(name, "both.pem") };
    this.#openssl(
      [
        "-CA",
        this.ca,
        "-CAkey",
        this.#path("ca", "key"),
        "-out",
        files.cert,
        "-keyout",
        files.key,
        "-subj",
        "/O=Bench",
      ],
      [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth,clientAuth",
        `subjectAltName=URI:${spiffeId(name)}`,
      ],
    );
    writeFileSync(files.both, readFileSync(files.cert, "latin1") + readFileSync(files.key, "latin1"));
    return files;
  }

  #path(name, extension) {
    return join(this.directory, `${name}.${extension}`);
  }

  #openssl(args, extensions) {
    const added = extensions.flatMap((extension) => ["-addext", extension]);
    execFileSync("openssl", ["req", "-x509", ...key, ...args, "-config", this.#config(), ...added], { stdio: "pipe" });
  }

  /** The system's own configuration adds extensions, which would stand there twice. */
  #config() {
    const path = join(this.directory, "openssl.cnf");
    writeFileSync(path, "[req]\ndistinguished_name = dn\n[dn]\n");
    return path;
  }
}
