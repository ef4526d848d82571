import type { HeaderConfig, HeaderFilterConfig, MeshConfig, RouteConfig, ServiceSettings } from "./config.js";

/**
 * The configuration as it may be shown. Keys and tokens are not in it to begin with, only the paths of their files; hidden
 * are the values of headers and query parameters that routes match or set, since they may be secrets.
 */
export function redactConfig(config: MeshConfig): MeshConfig {
  const services: Record<string, MeshConfig["outbound"]["services"][string]> = {};
  for (const [authority, service] of Object.entries(config.outbound.services)) services[authority] = redacted(service);
  return { ...config, outbound: { ...config.outbound, services, defaults: redacted(config.outbound.defaults) } };
}

function redacted<T extends ServiceSettings>(settings: T): T {
  return { ...settings, routes: settings.routes.map(withoutValues) };
}

const hidden = "[redacted]";

function withoutValues(route: RouteConfig): RouteConfig {
  const { filters } = route;
  return {
    ...route,
    matches: route.matches.map((match) => ({
      ...match,
      headers: match.headers.map((one) => ({ ...one, value: hidden })),
      query: (match.query ?? []).map((one) => ({ ...one, value: hidden })),
    })),
    filters: filters && {
      ...filters,
      requestHeaders: filters.requestHeaders && withoutHeaderValues(filters.requestHeaders),
      responseHeaders: filters.responseHeaders && withoutHeaderValues(filters.responseHeaders),
    },
  };
}

function withoutHeaderValues({ set, add, remove }: HeaderFilterConfig): HeaderFilterConfig {
  const hide = (headers: readonly HeaderConfig[]) => headers.map(({ name }) => ({ name, value: hidden }));
  return { set: hide(set), add: hide(add), remove };
}
