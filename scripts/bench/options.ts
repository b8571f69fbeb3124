import { accessSync, constants } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Contender } from "./contender.ts";
import { isOnPath } from "./contender.ts";
import { CONTENDERS } from "./contenders.ts";
import type { Row } from "./rows.ts";
import { ROWS } from "./rows.ts";

export interface Options {
  readonly task: "run" | "help" | "list";
  readonly rows: readonly Row[];
  readonly contenders: readonly Contender[];
  /** True when they were named: then all take part in every row. */
  readonly contendersNamed: boolean;
  readonly backends: "workers" | "fast";
  readonly soakMinutes: number;
  readonly seconds: number;
  readonly rounds: number;
  /** Seconds of a warm-up. */
  readonly warmUp: number;
  /** The file to write the report to, beside the output. */
  readonly markdown: string | undefined;
  /** The file to write the report to with charts. */
  readonly html: string | undefined;
}

/** A mistake on the command line, in a sentence. */
export class OptionError extends Error {}

export const HELP = `Usage: npm run bench -- [options]        (or: node scripts/bench/main.ts [options])

Measures the edge side by side with the proxies that are on PATH: nginx, haproxy, nghttpx, caddy.
Needs Linux and h2load (Debian: nghttp2-client). Everything but the soak takes about 35 minutes as it is, with 5 rounds of 1 s;
a row with 3 rounds of 2 s takes about two minutes.

  --rows a,b          only these rows
  --contenders a,b    only these contenders, in every row
  --seconds N         length of a run (1)
  --rounds N          runs of each contender in each row (5)
  --warm-up N         seconds of load before its runs count (8)
  --backends KIND     workers: the project's own (default)
                      fast: nghttpd (Debian: nghttp2-server), nginx and a frame server, so that no backend is the bottleneck
  --soak MINUTES      the row "soak": all protocols at once against oneport, memory every 10 s (--rows soak: 10 minutes)
  --markdown FILE     write the report to a file, too
  --html FILE         and with charts to a page that needs nothing else (without it: next to that of --markdown)
  --list              names of rows and contenders
  --help              this text

The report goes to standard output, progress to standard error: on a terminal with the time that is left.
Exit code: 0 when every cell has a number or is not supported, 1 when there is an error or memory grew in a soak,
2 for a bad option.
`;

/** Reads the command line. Throws an OptionError. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  return {
    task: values.help === true ? "help" : values.list === true ? "list" : "run",
    rows: chosenRows(values.rows, values.soak !== undefined),
    contenders:
      values.contenders === undefined
        ? CONTENDERS.filter(isInstalled)
        : named("--contenders", "contender", values.contenders, CONTENDERS).map(installed),
    contendersNamed: values.contenders !== undefined,
    backends: backendsOf(values.backends ?? "workers"),
    soakMinutes: wholeNumber("--soak", values.soak ?? "10", 1440),
    seconds: wholeNumber("--seconds", values.seconds ?? "1", 60),
    rounds: wholeNumber("--rounds", values.rounds ?? "5", 100),
    warmUp: wholeNumber("--warm-up", values["warm-up"] ?? "8", 60),
    markdown: values.markdown === undefined ? undefined : writable("--markdown", values.markdown),
    html: htmlFile(values),
  };
}

/** Who takes part in a row. Unless named, those that send a token only where it shows, and for a soak only the edge. */
export function contendersFor(row: Row, { contenders, contendersNamed }: Options): readonly Contender[] {
  if (contendersNamed) return contenders;
  if (row.kind === "soak") return contenders.filter(({ name }) => name === "oneport");
  const tokenShows = row.kind === "cold-start" || (row.kind === "load" && row.small);
  return contenders.filter(({ sendsToken }) => tokenShows || !sendsToken);
}

/** All rows but the soak, which is long; that one when it is asked for. */
function chosenRows(names: string | undefined, soak: boolean): Row[] {
  if (names === undefined) return ROWS.filter((row) => isSoak(row) === soak);
  const chosen = named("--rows", "row", names, ROWS);
  return ROWS.filter((row) => chosen.includes(row) || (soak && isSoak(row)));
}

function isSoak({ kind }: Row): boolean {
  return kind === "soak";
}

function backendsOf(value: string): "workers" | "fast" {
  if (value === "workers" || value === "fast") return value;
  throw new OptionError(`--backends must be workers or fast, not ${JSON.stringify(value)}`);
}

/** What --list prints. */
export function listing(): string {
  const rows = ROWS.map(({ name, doc }) => `  ${name.padEnd(18)}  ${doc}`);
  const contenders = CONTENDERS.map(
    (contender) =>
      `  ${contender.name.padEnd(18)}  ${contender.doc}${isInstalled(contender) ? "" : " (not on PATH)"}`,
  );
  return `Rows:\n${rows.join("\n")}\n\nContenders:\n${contenders.join("\n")}\n`;
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = {
    rows: text,
    contenders: text,
    seconds: text,
    rounds: text,
    "warm-up": text,
    backends: text,
    soak: text,
    markdown: text,
    html: text,
    list: flag,
    help: { ...flag, short: "h" },
  } as const;
  try {
    return parseArgs({ args: [...args], options });
  } catch (thrown) {
    throw new OptionError(thrown instanceof Error ? (thrown.message.split(". ")[0] ?? "") : String(thrown));
  }
}

function named<T extends { readonly name: string }>(
  option: string,
  kind: string,
  value: string,
  all: readonly T[],
): T[] {
  const names = new Set(value.split(",").map((name) => name.trim()));
  const unknown = [...names].filter((name) => !all.some((one) => one.name === name));
  if (unknown.length > 0)
    throw new OptionError(
      `${option}: there is no ${kind} ${JSON.stringify(unknown[0])}; choose from ${all.map(({ name }) => name).join(", ")}`,
    );
  return all.filter(({ name }) => names.has(name));
}

function isInstalled({ peer }: Contender): boolean {
  return peer === undefined || isOnPath(peer.binary);
}

function installed(contender: Contender): Contender {
  if (!isInstalled(contender)) throw new OptionError(`--contenders: ${contender.name} is not on PATH`);
  return contender;
}

function wholeNumber(option: string, value: string, max: number): number {
  const number = Number(value);
  if (!/^[0-9]{1,5}$/.test(value) || number < 1 || number > max)
    throw new OptionError(`${option} must be a whole number from 1 to ${max}, not ${JSON.stringify(value)}`);
  return number;
}

function htmlFile({ html, markdown }: { html?: string; markdown?: string }): string | undefined {
  if (html !== undefined) return writable("--html", html);
  return markdown === undefined ? undefined : `${markdown.replace(/\.md$/, "")}.html`;
}

/** Found out before the long run, not after it. */
function writable(option: string, file: string): string {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
    return file;
  } catch {
    throw new OptionError(`${option}: cannot write to the folder of ${file}`);
  }
}
