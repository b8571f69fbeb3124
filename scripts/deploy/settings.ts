import type { Config } from "../../edge/settings/config.ts";
import { ConfigError, readConfig } from "../../edge/settings/config.ts";
import type { Options } from "./options.ts";

type Pair = readonly [name: string, value: string];

/** Set by Cloud Run; a service may not set them. */
const RESERVED = new Set(["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"]);

/** Settings that have an option of their own. */
const FLAGS: readonly [setting: string, flag: string][] = [
  ["AUTH_MODE=off", "--auth-off"],
  ["AUTH_AUDIENCE", "--audience"],
  ["AUTH_SERVICE_ACCOUNTS", "--accounts"],
];

/** Characters gcloud may be told to split a list at. A single one each: longer ones can begin inside a value. */
const DELIMITERS = ["|", ";", "#", "~"];

/** The environment of the service, and what is wrong with it: the edge's own reader has the last word, before anything is built. */
export function serviceSettings(options: Options): { pairs: readonly Pair[]; mistakes: readonly string[] } {
  const mistakes: string[] = [];
  const further = options.values("env").flatMap((text) => {
    const [pair, mistake] = readPair(text);
    if (mistake !== undefined) mistakes.push(`--env ${JSON.stringify(text)} ${mistake}.`);
    return mistake === undefined ? [pair] : [];
  });
  mistakes.push(...givenTwice(further));
  if (options.has("auth-off") && further.some(([name]) => name === "AUTH_MODE"))
    mistakes.push("--auth-off contradicts --env AUTH_MODE: remove one of them.");
  const pairs = [...authPairs(options), ...further];
  mistakes.push(...edgeMistakes(pairs, options));
  return { pairs, mistakes };
}

/** All settings as one argument of gcloud, with a delimiter that none of them contains; undefined when there is none. */
export function joinPairs(pairs: readonly Pair[]): string | undefined {
  const members = pairs.map(([name, value]) => `${name}=${value}`);
  const delimiter = DELIMITERS.find((candidate) => !members.some((member) => member.includes(candidate)));
  return delimiter === undefined ? undefined : `^${delimiter}^${members.join(delimiter)}`;
}

function authPairs(options: Options): Pair[] {
  const audience = options.value("audience");
  const accounts = options.value("accounts");
  return [
    ...(options.has("auth-off") ? [["AUTH_MODE", "off"] as const] : []),
    ...(audience === undefined ? [] : [["AUTH_AUDIENCE", audience] as const]),
    ...(accounts === undefined ? [] : [["AUTH_SERVICE_ACCOUNTS", accounts] as const]),
  ];
}

function readPair(text: string): [pair: Pair, mistake: string | undefined] {
  const at = text.indexOf("=");
  const pair = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)] as const;
  const [name] = pair;
  const flag = FLAGS.find(([setting]) => setting === name || setting === text)?.[1];
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return [pair, "must be NAME=VALUE"];
  if (RESERVED.has(name)) return [pair, "is set by Cloud Run"];
  if (flag !== undefined) return [pair, `has an option of its own: ${flag}`];
  // One command stays one line, and gcloud takes no others.
  if (/\p{Cc}/u.test(text)) return [pair, "contains a control character"];
  return [pair, undefined];
}

function givenTwice(pairs: readonly Pair[]): string[] {
  const names = pairs.map(([name]) => name);
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  return [...new Set(repeated)].map((name) => `--env ${name} is given twice.`);
}

/** What the edge would say about these settings when it starts on Cloud Run, in this command's words. */
function edgeMistakes(pairs: readonly Pair[], options: Options): string[] {
  let config: Config;
  try {
    const env = Object.fromEntries([...pairs, ...authPairs(options)]);
    config = readConfig({ ...env, K_SERVICE: options.value("service") });
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    return thrown.mistakes.map(inFlags);
  }
  // Whatever the reader takes for "off", only the option opens the door.
  if (config.authMode !== "off" || options.has("auth-off")) return [];
  return ["The door would be open: give --audience and --accounts, or --auth-off."];
}

function inFlags(mistake: string): string {
  return FLAGS.reduce((text, [setting, flag]) => text.replaceAll(setting, flag), mistake);
}
