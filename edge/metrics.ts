import type { LimitName } from "./limits.ts";
import { EXCEEDED } from "./limits.ts";

/** What one process counts. */
export class Metrics {
  /** How often clients exceeded each limit. */
  readonly exceeded: Record<LimitName, number> = Object.assign(
    Object.create(null),
    Object.fromEntries(Object.keys(EXCEEDED).map((limit) => [limit, 0])),
  ) as Record<LimitName, number>;

  countExceeded(limit: LimitName): void {
    this.exceeded[limit]++;
  }
}

/** The counts in Prometheus' text format (version 0.0.4). */
export function renderMetrics(exceeded: Readonly<Record<string, number>>): string {
  const name = "oneport_limit_exceeded_total";
  return [
    `# HELP ${name} Times that clients exceeded a limit.`,
    `# TYPE ${name} counter`,
    ...Object.entries(exceeded).map(([limit, count]) => `${name}{limit="${limit}"} ${count}`),
    "",
  ].join("\n");
}
