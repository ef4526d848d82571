// The programs that we are measured with and against.
import { spawnSync } from "node:child_process";

/** Command and Debian package. */
const known = { taskset: "util-linux", openssl: "openssl", haproxy: "haproxy", wrk: "wrk" };

function has(command) {
  const { status } = spawnSync("sh", ["-c", `command -v ${command}`], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` },
  });
  return status === 0;
}

/** The names of the peers that are there. With `install`, and as root, apt is asked for the others first. */
export function findPeers({ install }) {
  process.env.PATH += ":/usr/sbin:/usr/local/sbin";
  let missing = Object.keys(known).filter((name) => !has(name));
  if (missing.length > 0 && install) {
    if (process.getuid() !== 0) process.stderr.write("--install needs root; going on without\n");
    else spawnSync("apt-get", ["install", "-y", ...missing.map((name) => known[name])], { stdio: "inherit" });
    missing = missing.filter((name) => !has(name));
  }
  if (missing.length > 0) {
    const packages = missing.map((name) => known[name]).join(" ");
    process.stdout.write(
      `missing: ${missing.join(", ")} (Debian: apt-get install ${packages}, or --install as root)\n`,
    );
  }
  return new Set(Object.keys(known).filter((name) => !missing.includes(name)));
}
