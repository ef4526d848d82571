import { transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

/** The labels of the one series that an exchange made, without those that are the same in all. */
function labels(answer: Answer, request: TestRequest = {}): string {
  const mesh = new TestMesh(new ScriptedService(answer), { fallback: testRoute({ limit: 0 }) });
  mesh.service.call(outboundExchange(request), new RecordingSink());
  const lines = renderPrometheus(mesh.registry).split("\n");
  const [line] = lines.filter((text) => text.startsWith("http_client_request_duration_seconds_count"));
  return line!
    .replace(/^[^{]*\{/, "")
    .replace('network_protocol_version="1.1",', "")
    .replace("} 1", "");
}

const known = 'server_address="test.example",http_request_method="GET"';
const grpc: TestRequest = { method: "POST", headers: ["content-type", "application/grpc"] };
const knownGrpc = 'server_address="test.example",http_request_method="POST",http_response_status_code="200"';

test.each([
  [{}, {}, `${known},http_response_status_code="200",selvage_classification="success"`],
  [{ status: 404 }, {}, `${known},http_response_status_code="404",selvage_classification="success"`],
  [{ status: 503 }, {}, `${known},http_response_status_code="503",error_type="503",selvage_classification="failure"`],
  [
    { error: transportError("SELVAGE_ERR_CONNECT", "") },
    {},
    `${known},http_response_status_code="502",error_type="connect",selvage_classification="failure"`,
  ],
  [
    { body: "a", error: transportError("SELVAGE_ERR_RESET", "") },
    {},
    `${known},http_response_status_code="200",error_type="reset",selvage_classification="failure"`,
  ],
  [
    {},
    { authority: "unknown.example" },
    'server_address="_unknown",http_request_method="GET",http_response_status_code="502",error_type="unknown_service",selvage_classification="failure"',
  ],
  [{ trailers: ["grpc-status", "0"] }, grpc, `${knownGrpc},rpc_grpc_status_code="0",selvage_classification="success"`],
  [{ trailers: ["grpc-status", "5"] }, grpc, `${knownGrpc},rpc_grpc_status_code="5",selvage_classification="success"`],
  [
    { headers: ["grpc-status", "14"] },
    grpc,
    `${knownGrpc},rpc_grpc_status_code="14",error_type="14",selvage_classification="failure"`,
  ],
  [
    { error: transportError("SELVAGE_ERR_CONNECT", "") },
    grpc,
    `${knownGrpc},rpc_grpc_status_code="14",error_type="connect",selvage_classification="failure"`,
  ],
] as [Answer, TestRequest, string][])("%j to %j has the labels %s", (answer, request, expected) => {
  expect(labels(answer, request)).toBe(expected);
});

test("the duration is from the request to the end of the response", () => {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport);
  mesh.service.call(outboundExchange(), new RecordingSink());
  expect(mesh.metrics.clientActive.with().value).toBe(1);
  transport.calls[0]!.sink.onHead(200, []);
  mesh.clock.advance(1_500);
  transport.calls[0]!.sink.onEnd(null);
  const [series] = mesh.metrics.clientDuration.series();
  expect([series!.histogram.sum, mesh.metrics.clientActive.with().value]).toEqual([1.5, 0]);
});
