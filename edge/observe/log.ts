import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import type { LogOutput } from "./log-output.ts";

/** A log, and where its lines go: for those who write a line themselves. */
export type Log = Logger & {
  readonly lines: LogOutput;
  /** The fields of every line, as a part of a JSON object that begins with a comma; empty when there are none. */
  readonly fieldsText: string;
};

/** Cloud Logging's severities (LogSeverity) for pino's level names. */
export const SEVERITIES = {
  debug: "DEBUG",
  info: "INFO",
  warn: "WARNING",
  error: "ERROR",
} as const;

export interface LogOptions {
  readonly level: string;
  readonly format: "json" | "pretty";
  /** Put into every line. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** JSON lines with Cloud Logging's field names, or one readable line each. */
export function createLog(options: LogOptions, output: LogOutput): Log {
  const lines = options.format === "json" ? output : new PrettyOutput(output);
  const destination: DestinationStream = {
    write(line) {
      lines.write(Buffer.from(line));
      lines.flush();
    },
  };
  const log = pino(
    {
      level: options.level,
      messageKey: "message",
      errorKey: "error",
      base: options.fields ?? null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ severity: severityOf(label) }) },
    },
    destination,
  );
  const fieldsText = options.fields === undefined ? "" : `,${JSON.stringify(options.fields).slice(1, -1)}`;
  return Object.assign(log, { lines, fieldsText });
}

function severityOf(label: string): string {
  return label in SEVERITIES ? SEVERITIES[label as keyof typeof SEVERITIES] : "DEFAULT";
}

/** Makes lines readable. */
class PrettyOutput implements LogOutput {
  readonly #output: LogOutput;

  constructor(output: LogOutput) {
    this.#output = output;
  }

  get dropped(): number {
    return this.#output.dropped;
  }

  write(line: Buffer): void {
    this.#output.write(Buffer.from(pretty(line.toString())));
  }

  flush(): void {
    this.#output.flush();
  }
}

/** One line for a person: an exchange in a few words, anything else with its fields. */
function pretty(line: string): string {
  const { time, severity, message, httpRequest, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const level = severity === "INFO" ? "" : `${String(severity)} `;
  const request = isRequest(httpRequest)
    ? ` ${httpRequest.status} ${milliseconds(httpRequest.latency)} ${httpRequest.protocol}`
    : "";
  const fields = Object.entries(rest)
    .filter(([key, value]) => value !== "ok" && !key.startsWith("logging."))
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${String(time).slice(11, 23)} ${level}${visible(`${String(message)}${request}${fields.join("")}`)}\n`;
}

/** Some terminals obey control characters, those beyond ASCII as well (U+009B begins a command), and a client writes the path. */
function visible(text: string): string {
  return text.replace(
    /[^\n\x20-\x7e\xa0-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
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
