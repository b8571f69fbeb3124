import { spawn } from "node:child_process";
import { constants } from "node:os";
import { optionLines } from "./deploy/options.ts";
import type { Command } from "./deploy/plan.ts";
import { planDeploy, shellLine } from "./deploy/plan.ts";

const EXIT_USAGE = 2;
const ROOT = new URL("..", import.meta.url);

const HELP = `Usage: npm run deploy -- --project ID --region REGION (--audience URL --accounts a@b,c@d | --auth-off) [options]

Builds the image with Cloud Build and deploys it to Cloud Run. Needs the gcloud command, logged in.
The settings given here replace all settings of the service. More: docs/cloud-run.md.

${optionLines()}`;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const planned = planDeploy(argv);
  if (planned.kind === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  if (planned.kind === "mistakes") {
    const lines = planned.mistakes.map((mistake) => `  - ${mistake}\n`).join("");
    process.stderr.write(`Nothing was deployed:\n${lines}See npm run deploy -- --help.\n`);
    return EXIT_USAGE;
  }
  for (const command of planned.commands) {
    process.stdout.write(`${shellLine(command)}\n`);
    const code = planned.dryRun ? 0 : await run(command);
    if (code !== 0) return code;
  }
  return 0;
}

/** Runs one command on our own terminal, in the project's folder; resolves with its exit code. */
function run([file, ...args]: Command): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const child = spawn(file, args, { cwd: ROOT, stdio: "inherit" });
  const pass = (): void => void child.kill("SIGTERM");
  process.on("SIGINT", leaveToChild).on("SIGTERM", pass);
  child.once("error", (error) => {
    process.stderr.write("code" in error && error.code === "ENOENT" ? missing(file) : `${error.message}\n`);
    resolve(1);
  });
  child.once("close", (code, signal) =>
    resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
  );
  return promise.finally(() => process.off("SIGINT", leaveToChild).off("SIGTERM", pass));
}

/** Ctrl-C reaches the child as well: it decides what that means, and its exit code is ours. */
function leaveToChild(): void {}

function missing(file: string): string {
  return `${file} is not on PATH: install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install), or look at the commands with --dry-run.\n`;
}
