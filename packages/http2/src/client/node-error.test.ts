import { expect, test } from "vitest";
import { closedEarlyError, connectError } from "./node-error.js";

const nodeError = (code: string) => Object.assign(new Error(`node says ${code}`), { code });

test.each([
  ["ECONNREFUSED", "SELVAGE_ERR_CONNECT", "peer", "nothing listens there"],
  ["ECONNRESET", "SELVAGE_ERR_CONNECT", "peer", "reset"],
  ["ETIMEDOUT", "SELVAGE_ERR_CONNECT_TIMEOUT", "peer", "node says"],
  ["ENOTFOUND", "SELVAGE_ERR_CONNECT", "peer", "name does not exist"],
  ["EMFILE", "SELVAGE_ERR_CONNECT", "local", "file descriptor"],
  ["CERT_HAS_EXPIRED", "SELVAGE_ERR_TLS", "peer", "expired"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "SELVAGE_ERR_TLS", "peer", "trust bundle"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "SELVAGE_ERR_TLS", "peer", "another name"],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "SELVAGE_ERR_TLS", "peer", "does not trust our issuer"],
  ["ERR_SSL_SOMETHING_NEW", "SELVAGE_ERR_TLS", "peer", "node says"],
  ["UNSPECIFIED", "SELVAGE_ERR_TLS", "peer", "node says"],
  ["ESOMETHINGELSE", "SELVAGE_ERR_CONNECT", "peer", "node says"],
])("%s becomes %s", (nodeCode, code, origin, text) => {
  const cause = nodeError(nodeCode);
  const error = connectError(cause, "a:1");
  expect(error).toMatchObject({ code, origin, progress: "unsent", cause });
  expect(error.message).toContain("connect to a:1: ");
  expect(error.message).toContain(text);
  expect(error.message).toContain(nodeCode);
});

test("of several attempts the first one's reason is told", () => {
  const error = connectError(new AggregateError([nodeError("ECONNREFUSED"), nodeError("ENETUNREACH")]), "a:1");
  expect(error.message).toContain("nothing listens there (ECONNREFUSED)");
});

test("a TLS connection that ends before its first byte hints at our certificate", () => {
  expect(closedEarlyError(true, null)).toMatchObject({ code: "SELVAGE_ERR_TLS", progress: "unsent" });
  expect(closedEarlyError(true, null).message).toContain("may have refused our certificate");
  expect(closedEarlyError(true, nodeError("ERR_SSL_TLSV1_ALERT_UNKNOWN_CA")).message).toContain(
    "does not trust our issuer",
  );
  expect(closedEarlyError(false, null)).toMatchObject({ code: "SELVAGE_ERR_CONNECT", progress: "unsent" });
});
