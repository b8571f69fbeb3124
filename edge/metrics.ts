import type { LimitName } from "./http2/limits.ts";
import { EXCEEDED } from "./http2/limits.ts";

/** What the edge counts, in Prometheus' text format (version 0.0.4). */
export class Metrics {
  readonly #exceeded = new Map<string, number>();

  /** A client exceeded a limit. */
  countExceeded(limit: LimitName): void {
    this.#exceeded.set(limit, (this.#exceeded.get(limit) ?? 0) + 1);
  }

  render(): string {
    const name = "oneport_limit_exceeded_total";
    const lines = [
      `# HELP ${name} Times that clients exceeded a limit of the HTTP/2 engine.`,
      `# TYPE ${name} counter`,
      ...Object.keys(EXCEEDED).map((limit) => `${name}{limit="${limit}"} ${this.#exceeded.get(limit) ?? 0}`),
    ];
    return `${lines.join("\n")}\n`;
  }
}
