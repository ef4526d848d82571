import { describe, expect, test } from "vitest";
import { envTable, readEnv } from "./env.js";

describe("variables", () => {
  test("values get the type of their field", () => {
    const { tree, problems } = readEnv({
      SELVAGE_WORKLOAD_TRUST_DOMAIN: "prod.example",
      SELVAGE_INBOUND_PORT: "4143",
      SELVAGE_INBOUND_PROBES_PATHS: "/live, /ready",
      SELVAGE_OUTBOUND_DEFAULTS_RETRY_STATUSES: "502,503",
      SELVAGE_OUTBOUND_DEFAULTS_TIMEOUT: "1s",
      SELVAGE_TELEMETRY_TRACES: "false",
      SELVAGE_DRAIN_DELAY: "",
      HOME: "/root",
    });
    expect(problems).toEqual([]);
    expect(tree).toEqual({
      workload: { trustDomain: "prod.example" },
      inbound: { port: 4143, probes: { paths: ["/live", "/ready"] } },
      outbound: { defaults: { retry: { statuses: [502, 503] }, timeout: "1s" } },
      telemetry: { traces: false },
    });
  });

  test("what is no number stays text, for the schema to refuse", () => {
    expect(readEnv({ SELVAGE_INBOUND_PORT: "0x10" }).tree).toEqual({ inbound: { port: "0x10" } });
    expect(readEnv({ SELVAGE_INBOUND_PORT: "1.2.3" }).tree).toEqual({ inbound: { port: "1.2.3" } });
  });

  test("unknown names are refused with the nearest", () => {
    expect(readEnv({ SELVAGE_INBOUND_PRT: "1", SELVAGE_QUX: "1", SELVAGE_CONFG: "x" }).problems).toMatchObject([
      { path: "SELVAGE_CONFG", remedy: "did you mean SELVAGE_CONFIG?" },
      { path: "SELVAGE_INBOUND_PRT", remedy: "did you mean SELVAGE_INBOUND_PORT?" },
      { path: "SELVAGE_QUX", remedy: "docs/configuration.md lists them" },
    ]);
  });

  test("the variables of a Kubernetes service are not ours", () => {
    const { tree, problems } = readEnv({
      SELVAGE_INBOUND_SERVICE_HOST: "10.0.0.1",
      SELVAGE_INBOUND_SERVICE_PORT: "4143",
      SELVAGE_INBOUND_SERVICE_PORT_MESH: "4143",
      SELVAGE_INBOUND_PORT: "tcp://10.0.0.1:4143",
      SELVAGE_INBOUND_PORT_4143_TCP: "tcp://10.0.0.1:4143",
      SELVAGE_INBOUND_PORT_4143_TCP_ADDR: "10.0.0.1",
    });
    expect(problems).toEqual([]);
    expect(tree).toEqual({});
  });

  test("SELVAGE_ADMIN=false wins over fields of admin", () => {
    expect(readEnv({ SELVAGE_ADMIN_PORT: "1", SELVAGE_ADMIN: "false" }).tree).toEqual({ admin: false });
  });

  test("every name is unique and made of its path", () => {
    const table = envTable();
    expect(table.get("SELVAGE_OUTBOUND_DEFAULTS_RETRY_PER_TRY_TIMEOUT")).toBe("outbound.defaults.retry.perTryTimeout");
    expect(new Set(table.values()).size).toBe(table.size);
    expect([...table.keys()].filter((name) => name.includes("SERVICES"))).toEqual([]);
  });
});
