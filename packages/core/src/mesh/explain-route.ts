import type { BackendConfig, FaultConfig, HeaderFilterConfig } from "../config/config.js";
import type { TargetLookup } from "../layers/route.js";
import type { Route } from "../router/route.js";
import type { RedirectedRequest } from "../router/route-filters.js";
import type { TargetDescription } from "../target/target.js";

/** Who gets a share of a route's calls. */
export interface BackendExplanation extends BackendConfig {
  /** Of the route's calls, 0 to 1. */
  readonly share: number;
  /** `null`: there is no such service. */
  readonly target: TargetDescription | null;
}

/** What a route says about a call. */
export interface RouteExplanation {
  readonly name: string;
  readonly timeoutMs: number;
  /** Where the caller is sent instead; `null`: the call goes on. */
  readonly redirect: { readonly status: number; readonly location: string } | null;
  /** What is changed on the way, in words and in this order. Without the values of headers, which may be secrets. */
  readonly filters: readonly string[];
  /** Empty: the service itself. */
  readonly backends: readonly BackendExplanation[];
  /** The caller may set timeout and retries by `l5d-` headers. */
  readonly overrides: boolean;
  /** What is done to calls on purpose; `null`: nothing. */
  readonly fault: FaultConfig | null;
}

/** Discovery of the backends begins if it had not. */
export function explainRoute(route: Route, call: RedirectedRequest, targets: TargetLookup): RouteExplanation {
  const location = route.filters?.redirect?.location(call) ?? null;
  return {
    name: route.name,
    timeoutMs: route.timeoutMs,
    redirect: location === null ? null : { status: route.filters!.redirect!.config.status, location },
    filters: filterTexts(route, call),
    backends: (route.backends?.list ?? []).map((backend) => {
      const found = targets.find(backend.service);
      const target = found?.outside === true ? null : found;
      if (backend.weight > 0) target?.start();
      return { ...backend, share: route.backends!.shareOf(backend), target: target?.describe() ?? null };
    }),
    overrides: route.overrides === true,
    fault: route.fault ?? null,
  };
}

function filterTexts({ filters }: Route, { path }: RedirectedRequest): string[] {
  if (filters == null) return [];
  const { rewrite, requestHeaders, responseHeaders, mirror } = filters.config;
  const texts: string[] = [];
  if (rewrite !== null && rewrite.hostname !== null) texts.push(`the host becomes ${rewrite.hostname}`);
  if (filters.rewrite?.path != null) texts.push(`the path becomes ${filters.rewrite.path.apply(path)}`);
  if (requestHeaders !== null) texts.push(`request headers: ${headerText(requestHeaders)}`);
  if (responseHeaders !== null) texts.push(`response headers: ${headerText(responseHeaders)}`);
  if (mirror !== null) texts.push(`copied to ${mirror.service}: ${Math.round(mirror.ratio * 1000) / 10} %`);
  return texts;
}

function headerText({ set, add, remove }: HeaderFilterConfig): string {
  const names = (headers: readonly { readonly name: string }[]) => headers.map(({ name }) => name).join(", ");
  const parts = [
    ...(set.length > 0 ? [`sets ${names(set)}`] : []),
    ...(add.length > 0 ? [`adds ${names(add)}`] : []),
    ...(remove.length > 0 ? [`removes ${remove.join(", ")}`] : []),
  ];
  return parts.join("; ");
}
