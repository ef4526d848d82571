/** Milliseconds of each unit of the gRPC protocol's `grpc-timeout`. */
const unitMs: Readonly<Record<string, number>> = Object.freeze({
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
});

/** `grpc-timeout` in milliseconds, -1 when it is malformed. */
export function parseGrpcTimeout(value: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  return match === null ? -1 : Number(match[1]) * unitMs[match[2]!]!;
}

/** Milliseconds as `grpc-timeout`, rounded down, at most 8 digits. */
export function formatGrpcTimeout(ms: number): string {
  if (ms < 1e5) return `${Math.floor(ms * 1000)}u`;
  return ms < 1e8 ? `${Math.floor(ms)}m` : `${Math.min(99_999_999, Math.floor(ms / 1000))}S`;
}
