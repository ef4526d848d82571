// Two Node apps, one calling the other: plain, with a HAProxy sidecar each, and with the mesh in process.
// Everything between the call and its answer counts: both apps, and what stands between them. The server's side is on CPU 0,
// the client's on CPU 1, as on two hosts.
import { join } from "node:path";
import { measure } from "../measure.mjs";
import { outbound, path, rules, service, startHaproxyPair, workload } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl"];
const bytes = 100;

export async function start(bench) {
  const generator = await PinnedProcess.program("generator", {}, 1);
  const caller = async (name, options) => {
    const socket = join(bench.directory, `${name}.sock`);
    return Object.assign(await PinnedProcess.program("caller", { bytes, socket, ...options }, 1), { socket });
  };
  const systems = {};
  const sidecars = [];

  const plain = await PinnedProcess.program("node-server", { bytes }, 0);
  const direct = await caller("plain", { kind: "plain", url: `http://127.0.0.1:${plain.info.port}${path}` });
  systems.plain = [direct, plain];

  const inbound = { plaintext: "refuse", policy: { default: "deny", rules } };
  const meshed = await PinnedProcess.program(
    "mesh-server",
    { bytes, mesh: { ...workload("server", bench), inbound } },
    0,
  );
  const meshOptions = { ...workload("client", bench), outbound: outbound(meshed.info.port) };
  const url = `http://${service}${path}`;
  systems.mesh = [await caller("mesh", { kind: "mesh", url, mesh: meshOptions }), meshed];

  if (bench.peers.has("haproxy")) {
    const behind = await PinnedProcess.program("node-server", { bytes }, 0);
    const pair = await startHaproxyPair(bench, behind.info.port, 1);
    sidecars.push(pair);
    systems.sidecars = [await caller("sidecars", { kind: "plain", url: pair.url }), behind, ...pair.devices];
  }
  // What it costs to be triggered and do nothing, so that the figures at fixed rates can be judged.
  const idle = await caller("idle", { kind: "plain", url: "http://unused/", idle: true });

  const closed = (devices) =>
    measure(devices, () => devices[0].ask({ do: "closed", ms: bench.seconds * 1_000, inFlight: 50 }), bench);
  const triggered = (devices, rate) =>
    measure(
      devices,
      async () => {
        const [answer] = await Promise.all([
          devices[0].ask({ do: "triggered" }),
          generator.ask({ do: "triggers", socket: devices[0].socket, rate, ms: bench.seconds * 1_000 }),
        ]);
        return answer;
      },
      bench,
    );

  const windows = { "triggers.at10k": () => triggered([idle], 10_000) };
  for (const [name, devices] of Object.entries(systems)) {
    windows[`${name}.saturated`] = () => closed(devices);
    windows[`${name}.at10k`] = () => triggered(devices, 10_000);
    windows[`${name}.at5000`] = () => triggered(devices, 5_000);
  }

  return {
    windows,
    figures(w) {
      const figures = {
        "libraryPair.cpuVsPlain": w["mesh.saturated"].cpuUs / w["plain.saturated"].cpuUs,
        "libraryPair.cpuVsPlainAt10k": w["mesh.at10k"].cpuUs / w["plain.at10k"].cpuUs,
        "libraryPair.p99AddedVsPlainMs": w["mesh.at5000"].p99 - w["plain.at5000"].p99,
      };
      if (systems.sidecars !== undefined) {
        figures["libraryPair.cpuVsHaproxySidecars"] = w["mesh.saturated"].cpuUs / w["sidecars.saturated"].cpuUs;
        figures["libraryPair.cpuVsHaproxySidecarsAt10k"] = w["mesh.at10k"].cpuUs / w["sidecars.at10k"].cpuUs;
      }
      return figures;
    },
    async stop() {
      const processes = [...new Set(Object.values(systems).flat()), generator, idle];
      await Promise.all(processes.map((process) => process.stop()));
    },
  };
}
