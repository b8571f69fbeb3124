import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import type { Environment } from "./config.ts";
import { ConfigError, SETTINGS, UPSTREAMS } from "./config.ts";

const NAMES: readonly string[] = Object.values(UPSTREAMS).map((key) => SETTINGS[key].env);

/**
 * The environment, with the upstreams of the file that UPSTREAMS_FILE names in place of its own. The file has a line `NAME=list` for
 * each setting. Throws a ConfigError for a file that cannot be read, or that has other names.
 */
export function withUpstreamsFile(env: Environment): Environment {
  const file = env[SETTINGS.upstreamsFile.env]?.trim() ?? "";
  return file === "" ? env : { ...env, ...read(file) };
}

function read(file: string): Environment {
  let lines: Environment;
  try {
    lines = parseEnv(readFileSync(file, "utf8"));
  } catch (thrown) {
    throw new ConfigError([
      `UPSTREAMS_FILE cannot be read: ${thrown instanceof Error ? thrown.message : ""}`,
    ]);
  }
  const others = Object.keys(lines).filter((name) => !NAMES.includes(name));
  if (others.length > 0)
    throw new ConfigError(
      others.map((name) => `UPSTREAMS_FILE has ${name}, but may only have ${NAMES.join(", ")}.`),
    );
  return lines;
}
