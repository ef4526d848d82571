import type { HttpVersion } from "@selvage/http2";
import { errorReason } from "../errors.js";
import { type Classification, isFailure, noGrpcStatus } from "./classification.js";
import type { MetricFamily } from "./registry.js";
import type { HistogramSeries } from "./series.js";

/** Methods that appear in metrics by name (OpenTelemetry's list); others are `_OTHER`, since anybody can invent some. */
const methods = ["_OTHER", "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
const versions: readonly HttpVersion[] = ["1.0", "1.1", "2.0"];
const versionLabels = ["1.0", "1.1", "2"];
/** gRPC statuses 0 to 16, one for gRPC without a status, one for not gRPC. */
const grpcCount = 19;

/**
 * The duration series of one owner, an authority or a peer: found by numbers, so that a request builds no strings. What
 * it holds is bounded by methods × versions × statuses, and the registry's limit.
 */
export class Meter {
  readonly #family: MetricFamily<HistogramSeries>;
  readonly #serverAddress: string;
  readonly #peer: string;
  readonly #answered = new Map<number, HistogramSeries>();
  readonly #failed = new Map<string, HistogramSeries>();

  constructor(family: MetricFamily<HistogramSeries>, serverAddress: string, peer: string) {
    this.#family = family;
    this.#serverAddress = serverAddress;
    this.#peer = peer;
  }

  /** A request got a whole response. */
  answered(
    method: string,
    version: HttpVersion,
    status: number,
    grpc: boolean,
    grpcStatus: number,
    seconds: number,
  ): void {
    const methodIndex = methodIndexOf(method);
    const versionIndex = versions.indexOf(version);
    const grpcIndex = grpc ? (grpcStatus === noGrpcStatus ? 17 : grpcStatus) : 18;
    const key = ((methodIndex * 3 + versionIndex) * 1000 + status) * grpcCount + grpcIndex;
    let series = this.#answered.get(key);
    if (series === undefined) {
      const failure = isFailure(status, grpc, grpcStatus);
      series = this.#family.with(
        this.#serverAddress,
        methods[methodIndex]!,
        String(status),
        grpc && grpcStatus !== noGrpcStatus ? String(grpcStatus) : "",
        versionLabels[versionIndex] ?? "",
        failure ? (grpc && grpcStatus !== noGrpcStatus ? String(grpcStatus) : String(status)) : "",
        this.#peer,
        failure ? "failure" : "success",
      );
      this.#answered.set(key, series);
    }
    series.observe(seconds);
  }

  /** A request ended with an error: `status` and `grpcStatus` are what the caller gets to see. */
  failed(
    method: string,
    version: HttpVersion,
    status: number,
    grpcStatus: number,
    code: string,
    classification: Classification,
    seconds: number,
  ): void {
    const methodIndex = methodIndexOf(method);
    const reason = errorReason(code);
    const key = `${methodIndex} ${version} ${status} ${grpcStatus} ${reason} ${classification}`;
    let series = this.#failed.get(key);
    if (series === undefined) {
      const versionLabel = versionLabels[versions.indexOf(version)] ?? "";
      series = this.#family.with(
        this.#serverAddress,
        methods[methodIndex]!,
        String(status),
        grpcStatus === noGrpcStatus ? "" : String(grpcStatus),
        versionLabel,
        reason,
        this.#peer,
        classification,
      );
      this.#failed.set(key, series);
    }
    series.observe(seconds);
  }
}

function methodIndexOf(method: string): number {
  // The usual one first: a comparison of equal pointers.
  if (method === "GET") return 1;
  return Math.max(0, methods.indexOf(method));
}
