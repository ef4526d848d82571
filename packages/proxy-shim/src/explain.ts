import type { AttemptPlan, BackendExplanation, Explanation, RetryConditions } from "@selvage/core/spi";

export interface ExplainOptions {
  readonly method: string;
  readonly url: string;
  /** Where the workload's admin port is. */
  readonly admin: string;
  readonly header?: readonly string[];
  readonly json?: boolean;
  /** Where it is written. @defaultValue standard output */
  readonly write?: (text: string) => void;
}

/** Asks a workload what it would do with a call, and writes that for people. The exit status: 1 when the call would fail. */
export async function explain(options: ExplainOptions): Promise<number> {
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  const explanation = await ask(options);
  write(options.json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation));
  return explanation.problem === null ? 0 : 1;
}

async function ask({ method, url, admin, header = [] }: ExplainOptions): Promise<Explanation> {
  const base = /^https?:\/\//.test(admin) ? admin : `http://${admin}`;
  const question = new URLSearchParams({ method: method.toUpperCase(), url });
  for (const one of header) question.append("header", one);
  let response: Response;
  try {
    response = await fetch(`${base.replace(/\/$/, "")}/explain?${question}`, { signal: AbortSignal.timeout(5_000) });
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause as NodeJS.ErrnoException | undefined;
    const why = reason?.code ?? reason?.message ?? message;
    throw new Error(`can't ask ${base} (${why}); start the workload, or give its admin port by --admin`);
  }
  const text = await response.text();
  if (response.status !== 200) throw new Error(text.trim() || `${base} answers ${response.status}`);
  return JSON.parse(text) as Explanation;
}

/** What is known of a call, as lines. */
export function explanationText(explanation: Explanation): string {
  const { method, scheme, authority, path, problem, route, target, retryBudget, retriedAfter, attempts } = explanation;
  const { zone, hash, hedge } = explanation;
  const lines = [`${method} ${scheme}://${authority}${path}`, ""];
  if (problem !== null) lines.push(row("problem", problem));
  if (target !== null) {
    const other = target.outside || target.authority === authority ? "" : ` (asked for as ${authority})`;
    lines.push(row(target.outside ? "outside" : "service", `${target.authority}${other}`));
    if (target.identity !== null) lines.push(row("identity", target.identity));
  }
  if (route !== null) {
    lines.push(row("route", route.name));
    if (route.fault !== null) lines.push(row("fault", faultText(route.fault)));
    if (route.redirect !== null) lines.push(row("redirect", `${route.redirect.status} to ${route.redirect.location}`));
    for (const [i, text] of route.filters.entries()) lines.push(row(i === 0 ? "filters" : "", text));
    if (route.overrides) lines.push(row("overrides", "the caller may set timeout and retries by l5d- headers"));
  }
  if (route !== null && retriedAfter !== null) {
    lines.push(row("timeout", route.timeoutMs > 0 ? `${span(route.timeoutMs)} for everything` : "none"));
    for (const [i, attempt] of attempts.entries()) {
      lines.push(row(i === 0 ? "attempts" : "", attemptText(attempt, route.timeoutMs)));
    }
    if (hedge !== null) {
      const more = hedge.limit === 1 ? "another" : `up to ${hedge.limit} others, one after the other,`;
      lines.push(row("", `+  ${more} on another endpoint when there is no answer for ${span(hedge.delayMs)}`));
    }
    for (const [i, text] of conditionTexts(retriedAfter, method).entries())
      lines.push(row(i === 0 ? "repeated" : "", text));
  }
  if (retryBudget !== null) {
    const { available, minPerSecond, ratio } = retryBudget;
    const rate = `${minPerSecond} a second, and one for ${number(1 / ratio)} calls that need none`;
    lines.push(row("budget", `${available} retries now (${rate})`));
  }
  if (hash !== null) {
    const whose =
      hash.endpoint === null ? "not in this call, which goes by load" : `this call belongs to ${hash.endpoint}`;
    lines.push(row("key", `${hash.by} ${hash.name}: ${whose}`));
  }
  const backends = route?.backends ?? [];
  for (const [i, backend] of backends.entries()) lines.push(...backendTexts(backend, i, zone));
  // Whose a key is doesn't depend on zones.
  if (backends.length > 0 || (route !== null && route.redirect !== null)) return `${lines.join("\n")}\n`;
  if (target !== null) lines.push(...endpointTexts(target, hash?.endpoint == null ? zone : null));
  return `${lines.join("\n")}\n`;
}

function faultText({ delay, abort }: NonNullable<NonNullable<Explanation["route"]>["fault"]>): string {
  const parts: string[] = [];
  if (delay !== null) parts.push(`${share(delay.ratio)} wait ${span(delay.durationMs)}`);
  if (abort !== null) parts.push(`${share(abort.ratio)} get ${abort.status} (gRPC ${abort.grpcStatus})`);
  return `injected: ${parts.join(", ")}`;
}

function share(ratio: number): string {
  return ratio >= 1 ? "all" : `${Number((ratio * 100).toPrecision(3))} %`;
}

function attemptText({ attempt, waitMs, latestStartMs, timeoutMs }: AttemptPlan, totalMs: number): string {
  const [least, most] = waitMs;
  const time = timeoutMs > 0 ? `, ${span(timeoutMs)} to answer` : "";
  if (attempt === 1) return `1  at once${time}`;
  const wait = least === most ? span(most) : `${number(least)} to ${span(most)}`;
  const late =
    totalMs > 0 && latestStartMs !== null && latestStartMs >= totalMs ? "; not when the timeout is over by then" : "";
  return `${attempt}  ${wait} after the one before failed${time}${late}`;
}

function conditionTexts(after: RetryConditions, method: string): string[] {
  if (after.reason === "off") return ["never: retries are off"];
  const texts = ["what did not reach the endpoint (at once, free of budget), or was refused by it unprocessed"];
  if (after.statuses.length > 0) texts.push(`statuses ${after.statuses.join(", ")}`);
  if (after.grpcStatuses.length > 0) texts.push(`gRPC statuses ${after.grpcStatuses.join(", ")}`);
  if (after.interrupted) texts.push("a connection that broke, or an attempt's time that was over");
  if (after.reason === "not-repeatable") {
    texts.push(`nothing else: ${method} may have been acted on (an Idempotency-Key, or retry.methods, allows it)`);
  }
  texts.push(`bodies up to ${number(after.maxReplayBytes / 1024)} KiB only`);
  return texts;
}

function backendTexts(backend: BackendExplanation, i: number, zone: string | null): string[] {
  const { service, share, target } = backend;
  const budget = target === null ? "there is no such service" : `${target.retriesAvailable} retries now`;
  const first = row(i === 0 ? "backends" : "", `${number(share * 100)} %  ${service}; ${budget}`);
  return target === null || share === 0 ? [first] : [first, ...endpointTexts(target, zone)];
}

function endpointTexts(target: NonNullable<Explanation["target"]>, zone: string | null): string[] {
  const { endpoints, queued, panicking } = target;
  if (endpoints.length === 0) return [row("endpoints", "none is known")];
  const available = endpoints.filter(({ state }) => state === "available").length;
  const notes = [
    `${available} of ${endpoints.length} available`,
    ...(queued > 0 ? [`${queued} calls wait for one`] : []),
    ...(panicking ? ["so many are ejected that all are used"] : []),
    ...(zone === null ? [] : [`zone ${zone} is preferred`]),
  ];
  const table = endpoints.map((endpoint) => [
    endpoint.address,
    endpoint.state,
    `load ${number(endpoint.load)}`,
    `${endpoint.inFlight} in flight`,
    `${endpoint.failures} of ${endpoint.attempts} failed`,
    endpoint.zone === "" ? "" : `zone ${endpoint.zone}`,
    endpoint.weight === 1 ? "" : `weight ${endpoint.weight}`,
    endpoint.identity === null && !target.outside ? "plain" : endpoint.wire || "never connected",
    // Said above where all have the same.
    target.identity === null ? (endpoint.identity ?? "") : "",
  ]);
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const rows = table.map((cells) =>
    cells
      .map((cell, column) => (widths[column] === 0 ? "" : `${cell.padEnd(widths[column]!)}  `))
      .join("")
      .trimEnd(),
  );
  return [row("endpoints", notes.join("; ")), ...rows.map((text) => row("", text))];
}

function row(title: string, text: string): string {
  return `${title.padEnd(11)}${text}`.trimEnd();
}

function span(ms: number): string {
  return ms >= 1_000 ? `${number(ms / 1_000)} s` : `${number(ms)} ms`;
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}
