import { ConfigError } from "./config.ts";

/** Exit code for wrong settings, as for wrong usage of a command. */
const EXIT_SETTINGS = 2;

/** What `read` answers; or undefined after every mistake in the settings was printed and the exit code set. */
export async function settingsOrExplain<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const lines = thrown.mistakes.map((mistake) => `  - ${mistake}\n`).join("");
    process.stderr.write(`oneport cannot start with these settings:\n${lines}`);
    process.exitCode = EXIT_SETTINGS;
    return undefined;
  }
}
