import type { MeshConfig, RouteConfig, ServiceSettings } from "./config.js";

/**
 * The configuration as it may be shown. Keys and tokens are not in it to begin with, only the paths of their files; hidden
 * are the values of headers that routes match, since they may be secrets.
 */
export function redactConfig(config: MeshConfig): MeshConfig {
  const services: Record<string, MeshConfig["outbound"]["services"][string]> = {};
  for (const [authority, service] of Object.entries(config.outbound.services)) services[authority] = redacted(service);
  return { ...config, outbound: { ...config.outbound, services, defaults: redacted(config.outbound.defaults) } };
}

function redacted<T extends ServiceSettings>(settings: T): T {
  return { ...settings, routes: settings.routes.map(withoutValues) };
}

function withoutValues(route: RouteConfig): RouteConfig {
  const headers = route.match.headers.map(({ name }) => ({ name, value: "[redacted]" }));
  return { ...route, match: { ...route.match, headers } };
}
