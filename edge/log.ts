import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

export type Log = Logger;

/** Cloud Logging's severities (LogSeverity) for pino's level names. */
const SEVERITY: Readonly<Record<string, string>> = {
  debug: "DEBUG",
  info: "INFO",
  warn: "WARNING",
  error: "ERROR",
};

export interface LogOptions {
  readonly level: string;
  readonly format: "json" | "pretty";
  /** Put into every line. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** JSON lines with Cloud Logging's field names, or one readable line each. `write` is where lines go. */
export function createLog(
  options: LogOptions,
  write: (line: string) => void = (line) => void process.stdout.write(line),
): Log {
  const destination: DestinationStream =
    options.format === "json" ? { write } : { write: (line) => write(pretty(line)) };
  return pino(
    {
      level: options.level,
      messageKey: "message",
      errorKey: "error",
      base: options.fields ?? null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ severity: SEVERITY[label] ?? "DEFAULT" }) },
    },
    destination,
  );
}

/** One line for a person: an exchange in a few words, anything else with its fields. */
function pretty(line: string): string {
  const { time, severity, message, httpRequest, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const level = severity === "INFO" ? "" : `${String(severity)} `;
  const request = isRequest(httpRequest)
    ? ` ${httpRequest.status} ${milliseconds(httpRequest.latency)} ${httpRequest.protocol}`
    : "";
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== "ok")
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${String(time).slice(11, 23)} ${level}${String(message)}${request}${fields.join("")}\n`;
}

interface RequestLine {
  readonly status: number;
  readonly latency: string;
  readonly protocol: string;
}

function isRequest(value: unknown): value is RequestLine {
  return typeof value === "object" && value !== null && "latency" in value;
}

/** Cloud Logging's latency is in seconds with an `s`. */
function milliseconds(latency: string): string {
  return `${(Number.parseFloat(latency) * 1000).toFixed(1)}ms`;
}
