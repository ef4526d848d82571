import { IdentityError, type IdentitySource } from "@selvage/tls-identity";
import type { Clock } from "../runtime/clock.js";
import type { Registry } from "../telemetry/registry.js";
import type { Log } from "./log.js";

export const identityMetricDefinitions = Object.freeze({
  expires: {
    name: "selvage_identity_expires_seconds",
    kind: "gauge",
    help: "Seconds until this workload's SVID expires; negative when it has.",
    labels: [],
  },
  rotations: {
    name: "selvage_identity_rotations_total",
    kind: "counter",
    help: "Renewals of this workload's SVID, by result.",
    labels: ["result"],
  },
  alarms: {
    name: "selvage_identity_alarms_total",
    kind: "counter",
    help: "Times at which only this part (percent) of the SVID's time was left and it had not been renewed.",
    labels: ["left"],
  },
} as const);

/** Makes the life of the identity visible: how long it has left, and how its renewals went. */
export class IdentityMetrics {
  readonly close: () => void;

  constructor(registry: Registry, identity: IdentitySource, clock: Clock, log: Log) {
    const expires = registry.gauge(identityMetricDefinitions.expires);
    const rotations = registry.counter(identityMetricDefinitions.rotations);
    const alarms = registry.counter(identityMetricDefinitions.alarms);
    const ends = [
      expires.observe([], () => ((identity.current?.notAfter ?? clock.epoch()) - clock.epoch()) / 1000),
      identity.subscribe((snapshot) => {
        rotations.with("ok").increment();
        log("info", "identity.rotated", {
          id: snapshot.id.toString(),
          notAfter: new Date(snapshot.notAfter).toISOString(),
        });
      }),
      identity.onFailure((error) => {
        if (IdentityError.is(error) && error.leftPercent !== null) {
          alarms.with(String(error.leftPercent)).increment();
          log("error", "identity.renewal-late", { left: `${error.leftPercent} %`, error });
          return;
        }
        rotations.with("error").increment();
        log("warn", "identity.renewal-failed", { error });
      }),
    ];
    this.close = () => {
      for (const end of ends) end();
    };
  }
}
