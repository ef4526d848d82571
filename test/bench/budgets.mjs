// What every figure must not exceed, and what it aims at. All: less is better.

export const budgets = {
  "shimPair.cpuVsHaproxy": { must: 1.25, goal: 1 },
  "shimPair.cpuVsHaproxy10k": { must: 1, goal: 0.75 },
  "shimPair.p99VsHaproxy": { must: 1.3, goal: 1 },
  "libraryPair.cpuVsPlain": { must: 0.5, goal: 0.35 },
  "libraryPair.cpuVsPlainAt10k": { must: 0.7, goal: 0.55 },
  "libraryPair.cpuVsHaproxySidecars": { must: 0.25, goal: 0.2 },
  "libraryPair.cpuVsHaproxySidecarsAt10k": { must: 0.4, goal: 0.3 },
  "libraryPair.p99AddedVsPlainMs": { must: 0.3, goal: 0, unit: "ms" },
  "client.cpuVsUndiciH2": { must: 0.3, goal: 0.15 },
  "server.cpuVsNodeHttps": { must: 0.6, goal: 0.35 },
  "server.h1CpuVsRawFloor": { must: 1.4, goal: 1.2 },
  "shim.idleRssMiB": { must: 52, goal: 46, unit: "MiB" },
  "shim.idlePrivateMiB": { must: 18, goal: 12, unit: "MiB" },
  "shim.readyMs": { must: 250, goal: 150, unit: "ms" },
  "shim.rssAt5000rpsMiB": { must: 70, goal: 58, unit: "MiB" },
  "connection.kib": { must: 48, goal: 32, unit: "KiB" },
};
