import { parseArgs } from "node:util";
import { serverUrl, tokenOf } from "../smoke/target.ts";
import type { Wanted } from "./diagnose.ts";
import type { Site } from "./site.ts";

export const HELP = `Usage: npm run doctor -- [options]

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

type Environment = Readonly<Record<string, string | undefined>>;

/** What a command line asks for. */
export interface Options {
  readonly site: Site;
  readonly wanted: Wanted;
  readonly json: boolean;
}

/** Reads a command line. Throws a sentence for a person, without what is secret in it. */
export async function readOptions(argv: readonly string[], env: Environment): Promise<Options | "help"> {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS });
  if (values.help === true) return "help";
  const wanted = { holdSeconds: number("--hold", values.hold, 0, 3600), large: values.large };
  return { site: await readSite(values, env), wanted, json: values.json };
}

async function readSite(values: Values, env: Environment): Promise<Site> {
  const url = serverUrl(values.server, env);
  if (!values["ws-path"].startsWith("/")) throw new Error("--ws-path must begin with /");
  const token = await tokenOf(values, url);
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
