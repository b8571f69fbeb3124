/** Milliseconds in one unit of a gRPC Timeout ("Requests", gRPC over HTTP/2). */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Reads `grpc-timeout`: 1 to 8 digits and a unit. Milliseconds, or undefined if it is malformed. */
export function parseGrpcTimeout(value: string): number | undefined {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(value);
  const unit = UNIT_MS[match?.[2] ?? ""];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** Writes what is left of a deadline, in the finest unit of at least a millisecond whose value fits 8 digits. */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  if (whole < 1) return `${Math.max(0, Math.floor(ms * 1000))}u`;
  if (whole <= 99_999_999) return `${whole}m`;
  const seconds = Math.floor(whole / 1000);
  if (seconds <= 99_999_999) return `${seconds}S`;
  return `${Math.min(99_999_999, Math.floor(seconds / 3600))}H`;
}
