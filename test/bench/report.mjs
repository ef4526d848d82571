// Figures of all rounds into medians, a table, and JSON.
import { execFileSync } from "node:child_process";
import { cpus, release } from "node:os";
import { budgets } from "./budgets.mjs";

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export class Report {
  #rounds = new Map();
  #details = new Map();

  /** One round's figure of a budget. */
  add(key, value) {
    append(this.#rounds, key, value);
  }

  /** What a figure was made of, for those who want to know more. */
  detail(name, value) {
    append(this.#details, name, value);
  }

  table() {
    const lines = [row(["", "measured", "range", "must", "goal", ""])];
    for (const [key, { must, goal, unit }] of Object.entries(budgets)) {
      const values = this.#rounds.get(key);
      if (values === undefined) continue;
      const value = median(values);
      const verdict = value <= goal ? "goal" : value <= must ? "ok" : "MISSED";
      const range = `${figure(Math.min(...values))} to ${figure(Math.max(...values))}`;
      lines.push(row([key, `${figure(value)}${unit ? ` ${unit}` : ""}`, range, `≤ ${must}`, `${goal}`, verdict]));
    }
    return lines.join("\n");
  }

  detailTable() {
    const names = [...this.#details.keys()].sort();
    return names.map((name) => `  ${name.padEnd(44)} ${figure(median(this.#details.get(name)))}`).join("\n");
  }

  json(rounds) {
    const medians = (map) => Object.fromEntries([...map].map(([key, values]) => [key, round(median(values))]));
    const all = (map) => Object.fromEntries([...map].map(([key, values]) => [key, values.map(round)]));
    return {
      ...medians(this.#rounds),
      rounds: all(this.#rounds),
      details: medians(this.#details),
      environment: { ...environment(), rounds },
    };
  }
}

function append(map, key, value) {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

function environment() {
  const git = (...args) => {
    try {
      return execFileSync("git", args, { cwd: new URL(".", import.meta.url), encoding: "utf8", stdio: "pipe" }).trim();
    } catch {
      return "";
    }
  };
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", "../../packages") !== "";
  return {
    date: new Date().toISOString(),
    node: process.version,
    kernel: release(),
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
    commit: git("rev-parse", "--short=12", "HEAD") + (changed ? " with changes" : ""),
  };
}

const round = (value) => Number(value.toPrecision(4));
const figure = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const row = ([name, ...cells]) => name.padEnd(40) + cells.map((cell) => cell.padStart(16)).join("");
