import type { IdentityService } from "@selvage/tls-identity";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { Registry } from "../telemetry/registry.js";

export const serviceMetricDefinitions = Object.freeze({
  issued: {
    name: "selvage_identity_service_issued_total",
    kind: "counter",
    help: "Certificates that were issued.",
    labels: [],
  },
  refused: {
    name: "selvage_identity_service_refused_total",
    kind: "counter",
    help: "Requests that were refused, by reason.",
    labels: ["reason"],
  },
  reloadFailures: {
    name: "selvage_identity_service_reload_failures_total",
    kind: "counter",
    help: "Attempts to read issuer, bundle or rules that failed; the last good ones stay in use.",
    labels: [],
  },
  keyFailures: {
    name: "selvage_identity_service_key_failures_total",
    kind: "counter",
    help: "Attempts to get the keys of JWTs that failed; the last good ones stay in use.",
    labels: [],
  },
  issuerExpires: {
    name: "selvage_identity_service_issuer_expires_seconds",
    kind: "gauge",
    help: "Seconds until the issuer or an authority above it expires; negative when it has.",
    labels: [],
  },
} as const);

/** Returns what renders the page of an identity service: it counts for itself, and is asked when somebody looks. */
export function serviceMetrics(service: IdentityService, keys: { readonly failures: number }): () => string {
  const registry = new Registry();
  const { issued, refused, reloadFailures, keyFailures, issuerExpires } = serviceMetricDefinitions;
  registry.counter(issued).observe([], () => service.status.issued);
  const byReason = registry.counter(refused);
  registry.counter(reloadFailures).observe([], () => service.status.reloadFailures);
  registry.counter(keyFailures).observe([], () => keys.failures);
  registry.gauge(issuerExpires).observe([], () => ((service.status.issuerNotAfter ?? Number.NaN) - Date.now()) / 1000);
  return () => {
    for (const [reason, count] of Object.entries(service.status.refused)) byReason.with(reason).value = count;
    return renderPrometheus(registry);
  };
}
