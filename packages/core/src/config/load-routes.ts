import { checkDocument, type DocumentPath, pathText } from "@selvage/policy";
import type { MeshConfig, RouteConfig } from "./config.js";
import { checkIdleTimeout, checkRetry } from "./config-checks.js";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import { readConfigFile } from "./config-file.js";
import { routeListSchema } from "./outbound-schema.js";
import type { RouteSettings } from "./resolve-route.js";
import { resolveRouteOf } from "./resolve-service.js";
import { checkRoutes } from "./route-checks.js";

/**
 * The routes in a file, for an authority with these settings. What keeps routes in force keeps the old ones when this throws.
 *
 * @throws ConfigError with everything that is wrong, and its line in the file
 */
export function loadRoutes(
  file: string,
  settings: RouteSettings,
  config: Pick<MeshConfig, "outbound" | "workload" | "identity" | "production">,
  cwd: string,
): readonly RouteConfig[] {
  const read = readConfigFile(file, cwd);
  const checked = checkDocument(routeListSchema(), read.value);
  if (!checked.ok) {
    throw new ConfigError(checked.problems.map((problem) => ({ ...problem, where: read.locate(problem.keys) })));
  }
  const routes = checked.value.map((route) => resolveRouteOf(route, settings));
  const problems: ConfigProblem[] = [];
  const refuse = (keys: DocumentPath, value: unknown, problem: string, remedy: string) =>
    void problems.push({ keys, path: pathText(keys), value, problem, remedy, where: read.locate(keys) });
  checkRoutes(routes, [], config, refuse);
  for (const [i, route] of routes.entries()) {
    checkRetry(route.retry, route.timeoutMs, [i, "retry"], refuse, settings.retry);
    checkIdleTimeout(route, [i, "idleTimeout"], refuse, settings);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return routes;
}
