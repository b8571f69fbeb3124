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
  readonly seconds: number;
  readonly rounds: number;
  /** The file to write the report to, beside the output. */
  readonly markdown: string | undefined;
}

/** A mistake on the command line, in a sentence. */
export class OptionError extends Error {}

export const HELP = `Usage: npm run bench -- [options]        (or: node scripts/bench/main.ts [options])

Measures the edge side by side with the proxies that are on PATH: nginx, haproxy, nghttpx, caddy.
Needs Linux and h2load (Debian: nghttp2-client). All of it takes about a quarter of an hour.

  --rows a,b          only these rows
  --contenders a,b    only these contenders
  --seconds N         length of a run (3)
  --rounds N          runs of each contender in each row (5)
  --markdown FILE     write the report to a file, too
  --list              names of rows and contenders
  --help              this text

The report goes to standard output, progress to standard error.
Exit code: 0 when every cell has a number or is not supported, 1 when there is an error, 2 for a bad option.
`;

/** Reads the command line. Throws an OptionError. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  return {
    task: values.help === true ? "help" : values.list === true ? "list" : "run",
    rows: values.rows === undefined ? ROWS : named("--rows", "row", values.rows, ROWS),
    contenders:
      values.contenders === undefined
        ? CONTENDERS.filter(isInstalled)
        : named("--contenders", "contender", values.contenders, CONTENDERS).map(installed),
    seconds: wholeNumber("--seconds", values.seconds ?? "3", 60),
    rounds: wholeNumber("--rounds", values.rounds ?? "5", 100),
    markdown: values.markdown === undefined ? undefined : writable(values.markdown),
  };
}

/** What --list prints. */
export function listing(): string {
  const rows = ROWS.map(({ name, doc }) => `  ${name.padEnd(16)}  ${doc}`);
  const contenders = CONTENDERS.map(
    (contender) =>
      `  ${contender.name.padEnd(16)}  ${contender.doc}${isInstalled(contender) ? "" : " (not on PATH)"}`,
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
    markdown: text,
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

/** Found out before the long run, not after it. */
function writable(file: string): string {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
    return file;
  } catch {
    throw new OptionError(`--markdown: cannot write to the folder of ${file}`);
  }
}
