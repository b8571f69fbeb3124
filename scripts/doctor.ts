import { parseArgs } from "node:util";
import type { Wanted } from "./doctor/diagnose.ts";
import { diagnose } from "./doctor/diagnose.ts";
import type { Finding } from "./doctor/finding.ts";
import { sentence } from "./doctor/finding.ts";
import type { Site } from "./doctor/site.ts";
import { tokenFromKey } from "./smoke/key.ts";

const HELP = `Usage: npm run doctor -- [options]

Finds out what a deployment does to each protocol: whether it gets through, how it was carried, who refuses callers and why.
A row for each check (ok, FAIL, or ? for what could not be known), and one sentence on what to change.
Exit code 1 when a row failed. The edge tells more with DOCTOR=on. docs/doctor.md says more.

Options:
  --server URL     where the edge is (default http://localhost:$PORT, and 8080 without PORT)
  --key FILE       a service account's key.json: an ID token is made with it through Google
  --audience A     the audience of that token (default the server's URL)
  --token T        an ID token, for example from  npm run -s token -- mint
  --run-token T    a token for Cloud Run's own check, sent in X-Serverless-Authorization
  --ws-path PATH   where the WebSocket worker answers (default /ws)
  --hold SECONDS   also holds a WebSocket and a gRPC stream that long, and says who cut them
  --large          also sends a request of 33 MiB
  --json           prints one JSON object
  --timeout MS     for each check (default 10000)
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  server: { type: "string" },
  key: { type: "string" },
  audience: { type: "string" },
  token: { type: "string" },
  "run-token": { type: "string" },
  "ws-path": { type: "string", default: "/ws" },
  hold: { type: "string", default: "0" },
  large: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  timeout: { type: "string", default: "10000" },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"];

const MARKS = { ok: "ok  ", failed: "FAIL", unknown: "?   " } as const;

process.exit(await main());

async function main(): Promise<number> {
  let values: Values;
  let site: Site;
  let wanted: Wanted;
  try {
    values = parseArgs({ options: OPTIONS }).values;
    if (values.help === true) {
      process.stdout.write(HELP);
      return 0;
    }
    wanted = { holdSeconds: number("--hold", values.hold, 0, 3600), large: values.large };
    site = await readSite(values);
  } catch (thrown) {
    process.stderr.write(`${sentence(thrown)}\n(npm run doctor -- --help)\n`);
    return 2;
  }
  const server = site.url.href;
  if (!values.json) process.stdout.write(`${server}\n`);
  const findings = await diagnose(site, wanted, values.json ? () => {} : print);
  const failures = findings.filter(({ verdict }) => verdict === "failed").length;
  if (values.json)
    process.stdout.write(`${JSON.stringify({ server, healthy: failures === 0, findings }, null, 2)}\n`);
  else process.stdout.write(`\n${summary(findings.length, failures)}\n`);
  return failures === 0 ? 0 : 1;
}

function print({ check, verdict, saw, change }: Finding): void {
  process.stdout.write(`${MARKS[verdict]} ${check.padEnd(22)} ${saw}\n`);
  if (change !== undefined) process.stdout.write(`     → ${change}\n`);
}

function summary(rows: number, failures: number): string {
  return failures === 0 ? "nothing is wrong" : `${failures} of ${rows} checks failed`;
}

async function readSite(values: Values): Promise<Site> {
  const text = values.server ?? `http://localhost:${process.env["PORT"] ?? "8080"}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new Error(`--server must be an http:// or https:// URL, not ${JSON.stringify(text)}`);
  if (url.username !== "" || url.password !== "")
    throw new Error("--server must not contain a name or a password");
  if (values.key !== undefined && values.token !== undefined)
    throw new Error("give --key or --token, not both");
  if (!values["ws-path"].startsWith("/")) throw new Error("--ws-path must begin with /");
  const token =
    values.key === undefined ? values.token : await tokenFromKey(values.key, values.audience ?? url.origin);
  for (const [option, given] of [
    ["--token", token],
    ["--run-token", values["run-token"]],
  ] as const) {
    // Whatever else it is, it must fit into a header; and it is not repeated here.
    if (given !== undefined && !/^[\x21-\x7e]+$/.test(given))
      throw new Error(`${option} must be one word: is there a space or a line break in it, or nothing?`);
  }
  return {
    url,
    wsPath: values["ws-path"],
    timeoutMs: number("--timeout", values.timeout, 10, 999_999),
    ...(token === undefined ? {} : { token }),
    ...(values["run-token"] === undefined ? {} : { runToken: values["run-token"] }),
  };
}

function number(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d{1,6}$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`${option} must be a number from ${min} to ${max}`);
}
