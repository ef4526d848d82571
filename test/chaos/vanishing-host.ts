import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const nearAddress = "10.213.7.1";
const farAddress = "10.213.7.2";

/**
 * Two hosts on a cable, as network namespaces of their own: nothing of the machine's network is touched. The far one can vanish, so
 * that neither FIN nor RST nor ICMP says that it is gone.
 */
export class VanishingHost {
  readonly nearAddress = nearAddress;
  readonly farAddress = farAddress;
  readonly #near: ChildProcess;
  readonly #far: ChildProcess;

  private constructor(near: ChildProcess, far: ChildProcess) {
    this.#near = near;
    this.#far = far;
  }

  /** `null`: it may not be made here. */
  static create(): VanishingHost | null {
    if (process.platform !== "linux") return null;
    const near = spawn("unshare", ["--map-root-user", "--net", "sleep", "600"], { stdio: "ignore" });
    if (!entered(near)) return null;
    const far = spawn("nsenter", [...into(near).slice(1), "unshare", "--net", "sleep", "600"], { stdio: "ignore" });
    const host = new VanishingHost(near, far);
    try {
      if (!entered(far, near)) throw new Error("no second namespace");
      run(host.near, "ip", "link", "set", "lo", "up");
      run(host.far, "ip", "link", "set", "lo", "up");
      run(host.near, "ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", String(far.pid));
      run(host.near, "ip", "addr", "add", `${nearAddress}/30`, "dev", "cable0");
      run(host.near, "ip", "link", "set", "cable0", "up");
      run(host.far, "ip", "addr", "add", `${farAddress}/30`, "dev", "cable1");
      run(host.far, "ip", "link", "set", "cable1", "up");
      // Else the near kernel would say "no route to host" when nobody answers for the address.
      const mac = /link\/ether (\S+)/.exec(run(host.far, "ip", "link", "show", "cable1"))![1]!;
      run(host.near, "ip", "neigh", "replace", farAddress, "lladdr", mac, "dev", "cable0", "nud", "permanent");
      return host;
    } catch {
      host.close();
      return null;
    }
  }

  /** Commands that start others there. */
  get near(): readonly string[] {
    return into(this.#near);
  }

  get far(): readonly string[] {
    return into(this.#far);
  }

  /** Packets for it go on, and nobody takes them or answers. */
  vanish(): void {
    run(this.far, "ip", "addr", "del", `${farAddress}/30`, "dev", "cable1");
  }

  comeBack(): void {
    run(this.far, "ip", "addr", "add", `${farAddress}/30`, "dev", "cable1");
  }

  close(): void {
    this.#far.kill("SIGKILL");
    this.#near.kill("SIGKILL");
  }
}

function into(child: ChildProcess): readonly string[] {
  return ["nsenter", "--target", String(child.pid), "--user", "--net", "--preserve-credentials"];
}

function run([command, ...args]: readonly string[], ...more: string[]): string {
  const { status, stdout, stderr } = spawnSync(command!, [...args, ...more], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${more.join(" ")}: ${stderr}`);
  return stdout;
}

/** Waits until a child is in a network of its own. */
function entered(child: ChildProcess, not?: ChildProcess): boolean {
  if (child.pid === undefined) return false;
  const network = (pid: number | string) =>
    spawnSync("readlink", [`/proc/${pid}/ns/net`], { encoding: "utf8" }).stdout.trim();
  const others = [network(process.pid), ...(not?.pid === undefined ? [] : [network(not.pid)])];
  for (let i = 0; i < 100; i++) {
    if (!existsSync(`/proc/${child.pid}`)) return false;
    const own = network(child.pid);
    if (own !== "" && !others.includes(own)) return true;
    spawnSync("sleep", ["0.02"]);
  }
  return false;
}
