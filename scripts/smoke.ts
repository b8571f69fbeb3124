import { parseArgs } from "node:util";
import type { Check, Target } from "./smoke/checks.ts";
import { CHECKS } from "./smoke/checks.ts";
import { serverUrl, tokenOf } from "./smoke/target.ts";

const HELP = `Usage: npm run smoke -- [options] [${[...new Set(CHECKS.map(({ group }) => group))].join("|")} …]

Tries each protocol through the edge and prints a row for each: how it was carried, its status, milliseconds.
Exit code 1 when a row failed.

Options:
  --server URL     where the edge is (default http://localhost:$PORT, and 8080 without PORT)
  --key FILE       a service account's key.json: an ID token is made with it through Google
  --audience A     the audience of that token (default the server's URL)
  --token T        an ID token, for example from  npm run -s token -- mint
  --timeout MS     for each row (default 10000)
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  server: { type: "string" },
  key: { type: "string" },
  audience: { type: "string" },
  token: { type: "string" },
  timeout: { type: "string", default: "10000" },
} as const;

type Parsed = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>;

process.exit(await main());

async function main(): Promise<number> {
  let parsed: Parsed;
  let target: Target;
  let checks: readonly Check[];
  try {
    parsed = parseArgs({ options: OPTIONS, allowPositionals: true });
    if (parsed.values.help === true) {
      process.stdout.write(HELP);
      return 0;
    }
    checks = choose(parsed.positionals);
    target = await readTarget(parsed.values);
  } catch (thrown) {
    process.stderr.write(
      `${thrown instanceof Error ? thrown.message : String(thrown)}\n(npm run smoke -- --help)\n`,
    );
    return 2;
  }
  process.stdout.write(`${target.url.href}\n`);
  let failed = 0;
  for (const check of checks) if (!(await run(check, target))) failed++;
  process.stdout.write(
    failed === 0 ? `\nall ${checks.length} passed\n` : `\n${failed} of ${checks.length} failed\n`,
  );
  return failed === 0 ? 0 : 1;
}

function choose(groups: readonly string[]): readonly Check[] {
  const known = new Set<string>(CHECKS.map(({ group }) => group));
  const unknown = groups.find((group) => !known.has(group));
  if (unknown !== undefined)
    throw new Error(`there is no ${JSON.stringify(unknown)} to try: say ${[...known].join(", ")}`);
  return groups.length === 0 ? CHECKS : CHECKS.filter(({ group }) => groups.includes(group));
}

async function readTarget(values: Parsed["values"]): Promise<Target> {
  const url = serverUrl(values.server, process.env);
  if (!/^\d{2,6}$/.test(values.timeout)) throw new Error("--timeout must be milliseconds, 10 to 999999");
  const token = await tokenOf(values, url);
  return { url, timeoutMs: Number(values.timeout), ...(token === undefined ? {} : { token }) };
}

/** Prints the row; answers whether it is a good one. */
async function run({ name, run: attempt }: Check, target: Target): Promise<boolean> {
  const started = performance.now();
  const row = (mark: string, how: string, status: string): void => {
    const ms = (performance.now() - started).toFixed(1).padStart(8);
    process.stdout.write(`${mark} ${name.padEnd(24)} ${how.padEnd(34)} ${status.padEnd(22)} ${ms} ms\n`);
  };
  try {
    const { carried, status } = await attempt(target);
    row("ok  ", carried, status);
    return true;
  } catch (thrown) {
    row("FAIL", "", thrown instanceof Error ? thrown.message : String(thrown));
    return false;
  }
}
