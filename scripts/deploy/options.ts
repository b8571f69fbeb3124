import { parseArgs } from "node:util";
import type { Parse } from "../../edge/settings/parse.ts";
import { SettingError, fail, integer } from "../../edge/settings/parse.ts";

interface Option {
  /** What stands for the value in the help text; a flag has none. */
  readonly value?: string;
  readonly parse?: Parse<unknown>;
  readonly fallback?: string;
  readonly required?: boolean;
  readonly multiple?: boolean;
  readonly doc: string;
}

const PROJECT = /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/;
const EMAIL = /^[^\s@,*]+@[^\s@,*]+$/;

/** Every option of the command, a row each: the help text is made from this table. */
// prettier-ignore
const OPTIONS = {
  project:           { value: "ID",         parse: matching(PROJECT, "a project id such as my-project-123"), required: true, doc: "the Google Cloud project" },
  region:            { value: "REGION",     parse: matching(/^[a-z]+-[a-z]+[0-9]{1,2}$/, "a region such as europe-west1"), required: true, doc: "where the service and its image are" },
  audience:          { value: "URL",        doc: "`aud` that a caller's ID token must carry; goes with --accounts" },
  accounts:          { value: "a@b,c@d",    doc: "who may call; '*' is any verified identity with that audience" },
  "auth-off":        { doc: "let everybody in, instead of the two above" },
  http2:             { doc: "HTTP/2 end to end (--use-http2); without it: the default mode" },
  env:               { value: "NAME=VALUE", multiple: true, doc: "a further setting of oneport; may be given again" },
  service:           { value: "NAME",       parse: matching(/^[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?$/, "at most 49 lower-case letters, digits and -"), fallback: "oneport", doc: "the Cloud Run service" },
  repository:        { value: "NAME",       parse: matching(/^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "at most 63 lower-case letters, digits and -"), fallback: "oneport", doc: "the Artifact Registry repository; it must exist" },
  concurrency:       { value: "N",          parse: integer(1, 1000), fallback: "250", doc: "requests at once in one instance, open WebSockets and streams included" },
  "service-account": { value: "EMAIL",      parse: matching(EMAIL, "an email address"), doc: "who the service runs as; it needs no role" },
  "dry-run":         { doc: "print the commands and run nothing" },
  help:              { doc: "print this" },
} as const satisfies Record<string, Option>;

type Name = keyof typeof OPTIONS;
const ROWS = Object.entries(OPTIONS) as [Name, Option][];

/** What was asked for. `value` gives an option's text or its default, `has` whether a flag is there. */
export interface Options {
  readonly value: (name: Name) => string | undefined;
  readonly values: (name: Name) => readonly string[];
  readonly has: (name: Name) => boolean;
}

/** Reads a command line; every mistake is a sentence, and one does not hide the next. */
export function readOptions(argv: readonly string[]): { options: Options; mistakes: readonly string[] } {
  const given = new Map<string, string[]>();
  const mistakes = collect(argv, given);
  const options: Options = {
    value: (name) => given.get(name)?.[0] ?? (OPTIONS[name] as Option).fallback,
    values: (name) => given.get(name) ?? [],
    has: (name) => given.has(name),
  };
  for (const [name, { parse, required, doc }] of ROWS) {
    const text = options.value(name);
    const named = mistakes.some((mistake) => mistake.startsWith(`--${name} `));
    if (text === undefined && required === true && !named) mistakes.push(`--${name} is missing: ${doc}.`);
    if (text === undefined || parse === undefined) continue;
    try {
      parse(text);
    } catch (thrown) {
      if (!(thrown instanceof SettingError)) throw thrown;
      mistakes.push(`--${name} ${thrown.message}.`);
    }
  }
  return { options, mistakes };
}

/** The help text's lines about the options. */
export function optionLines(): string {
  const lines = ROWS.map(([name, { value, doc, required, fallback }]) => {
    const note = required === true ? " (required)" : fallback === undefined ? "" : ` (${fallback})`;
    return `  ${`--${name}${value === undefined ? "" : ` ${value}`}`.padEnd(25)} ${doc}${note}\n`;
  });
  return lines.join("");
}

/** Not `strict`: that throws at the first mistake. */
function collect(argv: readonly string[], given: Map<string, string[]>): string[] {
  const types = ROWS.map(([name, { value }]) => [name, { type: value === undefined ? "boolean" : "string" }]);
  const options = { ...Object.fromEntries(types), help: { type: "boolean", short: "h" } };
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const mistakes: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") mistakes.push(`${JSON.stringify(token.value)} is not an option.`);
    if (token.kind !== "option") continue;
    const row = Object.hasOwn(OPTIONS, token.name) ? OPTIONS[token.name as Name] : undefined;
    // `--project --region x`: what looks like the next option is one, not a value, unless it is written with `=`.
    if (token.inlineValue === false && token.value.startsWith("-")) {
      mistakes.push(`${token.rawName} needs a value.`);
      return [...mistakes, ...collect(argv.slice(token.index + 1), given)];
    }
    const mistake = misused(row, token.value, given.has(token.name));
    if (mistake === undefined) given.set(token.name, [...(given.get(token.name) ?? []), token.value ?? ""]);
    else mistakes.push(`${token.rawName} ${mistake}.`);
  }
  return mistakes;
}

function misused(row: Option | undefined, value: string | undefined, again: boolean): string | undefined {
  if (row === undefined) return "is not an option";
  if (row.value === undefined) return value === undefined ? undefined : "takes no value";
  if (value === undefined) return "needs a value";
  return again && row.multiple !== true ? "is given twice" : undefined;
}

function matching(pattern: RegExp, rule: string): Parse<string> {
  return (text) => (pattern.test(text) ? text : fail(rule, text));
}
