import { durationBoundsSeconds } from "./histogram.js";
import type { MetricDefinition, MetricFamily, Registry } from "./registry.js";
import type { CounterSeries, GaugeSeries, HistogramSeries } from "./series.js";

const durationLabels = [
  "server_address",
  "http_request_method",
  "http_response_status_code",
  "rpc_grpc_status_code",
  "network_protocol_version",
  "error_type",
  "selvage_peer",
  "selvage_classification",
];

/** Every metric of the data path: the one place where names and labels are written. `docs/metrics.md` explains them. */
export const metricDefinitions = Object.freeze({
  clientDuration: {
    name: "http_client_request_duration_seconds",
    kind: "histogram",
    help: "Time from request to end of response, retries included, by authority.",
    labels: durationLabels,
    bounds: durationBoundsSeconds,
  },
  serverDuration: {
    name: "http_server_request_duration_seconds",
    kind: "histogram",
    help: "Time from request to end of response, by peer.",
    labels: durationLabels,
    bounds: durationBoundsSeconds,
  },
  clientActive: {
    name: "http_client_active_requests",
    kind: "gauge",
    help: "Outbound requests in flight.",
    labels: [],
  },
  serverActive: {
    name: "http_server_active_requests",
    kind: "gauge",
    help: "Inbound requests in flight.",
    labels: [],
  },
  attempts: {
    name: "selvage_outbound_attempts_total",
    kind: "counter",
    help: "Attempts that ended: requests before retries have hidden failures.",
    labels: ["server_address", "selvage_classification"],
  },
  retries: {
    name: "selvage_outbound_retries_total",
    kind: "counter",
    help: "Attempts after the first, by what went wrong before.",
    labels: ["server_address", "reason"],
  },
  retryBudgetExhausted: {
    name: "selvage_outbound_retry_budget_exhausted_total",
    kind: "counter",
    help: "Retries that did not happen because there were too many.",
    labels: ["server_address"],
  },
  retryLimitExceeded: {
    name: "selvage_outbound_retry_limit_exceeded_total",
    kind: "counter",
    help: "Requests whose last permitted attempt failed in a way that would have been retried.",
    labels: ["server_address"],
  },
  faults: {
    name: "selvage_faults_total",
    kind: "counter",
    help: "Faults that routes injected, by kind: delay, abort.",
    labels: ["server_address", "kind"],
  },
  endpointState: {
    name: "selvage_endpoint_state",
    kind: "gauge",
    help: "Endpoints by state: available, ejected, probing.",
    labels: ["server_address", "state"],
  },
  queued: {
    name: "selvage_outbound_queued_requests",
    kind: "gauge",
    help: "Requests that wait for an endpoint to become ready.",
    labels: ["server_address"],
  },
  concurrencyLimit: {
    name: "selvage_concurrency_limit",
    kind: "gauge",
    help: "Inbound requests that may wait for the head of their response at a time, by the adaptive limit.",
    labels: [],
  },
  verdicts: {
    name: "selvage_policy_verdicts_total",
    kind: "counter",
    help: "Decisions of inbound policy.",
    labels: ["verdict", "rule"],
  },
  errors: {
    name: "selvage_errors_total",
    kind: "counter",
    help: "Requests that ended with an error of the mesh or its transport.",
    labels: ["direction", "reason"],
  },
  protections: {
    name: "selvage_protections_total",
    kind: "counter",
    help: "Connections and requests that the HTTP engine refused to protect itself.",
    labels: ["reason"],
  },
} satisfies Record<string, MetricDefinition>);

/** The families of the data path, registered. */
export class MeshMetrics {
  readonly registry: Registry;
  readonly clientDuration: MetricFamily<HistogramSeries>;
  readonly serverDuration: MetricFamily<HistogramSeries>;
  readonly clientActive: MetricFamily<GaugeSeries>;
  readonly serverActive: MetricFamily<GaugeSeries>;
  readonly attempts: MetricFamily<CounterSeries>;
  readonly retries: MetricFamily<CounterSeries>;
  readonly retryBudgetExhausted: MetricFamily<CounterSeries>;
  readonly retryLimitExceeded: MetricFamily<CounterSeries>;
  readonly faults: MetricFamily<CounterSeries>;
  readonly endpointState: MetricFamily<GaugeSeries>;
  readonly queued: MetricFamily<GaugeSeries>;
  readonly concurrencyLimit: MetricFamily<GaugeSeries>;
  readonly verdicts: MetricFamily<CounterSeries>;
  readonly errors: MetricFamily<CounterSeries>;
  readonly protections: MetricFamily<CounterSeries>;

  constructor(registry: Registry) {
    this.registry = registry;
    this.clientDuration = registry.histogram(metricDefinitions.clientDuration);
    this.serverDuration = registry.histogram(metricDefinitions.serverDuration);
    this.clientActive = registry.gauge(metricDefinitions.clientActive);
    this.serverActive = registry.gauge(metricDefinitions.serverActive);
    this.attempts = registry.counter(metricDefinitions.attempts);
    this.retries = registry.counter(metricDefinitions.retries);
    this.retryBudgetExhausted = registry.counter(metricDefinitions.retryBudgetExhausted);
    this.retryLimitExceeded = registry.counter(metricDefinitions.retryLimitExceeded);
    this.faults = registry.counter(metricDefinitions.faults);
    this.endpointState = registry.gauge(metricDefinitions.endpointState);
    this.queued = registry.gauge(metricDefinitions.queued);
    this.concurrencyLimit = registry.gauge(metricDefinitions.concurrencyLimit);
    this.verdicts = registry.counter(metricDefinitions.verdicts);
    this.errors = registry.counter(metricDefinitions.errors);
    this.protections = registry.counter(metricDefinitions.protections);
  }
}
