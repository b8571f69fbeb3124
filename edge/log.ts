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

/** JSON lines with Cloud Logging's field names, or one readable line each. `write` is where lines go. */
export function createLog(
  options: { readonly level: string; readonly format: "json" | "pretty" },
  write: (line: string) => void = (line) => void process.stdout.write(line),
): Log {
  const destination: DestinationStream =
    options.format === "json" ? { write } : { write: (line) => write(pretty(line)) };
  return pino(
    {
      level: options.level,
      messageKey: "message",
      errorKey: "error",
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ severity: SEVERITY[label] ?? "DEFAULT" }) },
    },
    destination,
  );
}

function pretty(line: string): string {
  const { time, severity, message, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = String(time).slice(11, 23);
  const level = severity === "INFO" ? "" : `${String(severity)} `;
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${clock} ${level}${String(message)}${fields.length > 0 ? "  " : ""}${fields.join(" ")}\n`;
}
