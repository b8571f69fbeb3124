import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { markdown } from "../report/markdown.ts";
import { page } from "../report/page.ts";
import { Progress } from "../report/progress.ts";
import type { Section } from "../report/report.ts";
import { startWorkers, workersOnly } from "./backends.ts";
import { startFast } from "./backends/fast.ts";
import { CONNECTIONS, isOnPath } from "./contender.ts";
import type { Issuer } from "./issuer.ts";
import { startIssuer } from "./issuer.ts";
import { describeMachine } from "./machine.ts";
import type { Bench } from "./measure.ts";
import type { Options } from "./options.ts";
import { HELP, OptionError, listing, readOptions } from "./options.ts";
import { partOf } from "./parts.ts";
import { clockTickUs } from "./process-tree.ts";
import { Programs } from "./programs.ts";
import { measureRow } from "./measure-row.ts";
import { preamble } from "./report.ts";

const TITLE = "Benchmarks";

process.exitCode = await main();

/** Answers the exit code. */
async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2));
    if (options.task === "run") return await run(options);
    process.stdout.write(options.task === "help" ? HELP : listing());
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof OptionError)) throw thrown;
    process.stderr.write(`${thrown.message}.\n`);
    return 2;
  }
}

async function run(options: Options): Promise<number> {
  const missing = whatIsMissing();
  if (missing !== undefined) {
    process.stderr.write(`${missing}\n`);
    return 1;
  }
  const progress = new Progress(
    process.stderr,
    options.rows.map((row) => partOf(row, options)),
  );
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(130);
      stopping.abort(new Error(`stopped by ${name}`));
    });
  }
  try {
    return await withBench(options, progress, stopping.signal, (bench) =>
      measureAll(options, progress, bench),
    );
  } catch (thrown) {
    progress.end();
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    return stopping.signal.aborted ? 130 : 1;
  }
}

function whatIsMissing(): string | undefined {
  if (process.platform !== "linux") return "The benchmark reads /proc: it runs on Linux only.";
  if (!isOnPath("h2load"))
    return "h2load is not on PATH: install nghttp2's client tools (Debian: nghttp2-client).";
  return undefined;
}

/** Sets up what all rows need, and takes it down again whatever happens. */
async function withBench(
  { seconds, rounds, warmUp, backends }: Options,
  { say }: Progress,
  signal: AbortSignal,
  act: (bench: Bench) => Promise<number>,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "oneport-bench-"));
  const programs = new Programs();
  let issuer: Issuer | undefined;
  try {
    issuer = await startIssuer();
    const workers = await startWorkers(programs, signal);
    const backing =
      backends === "fast" ? await startFast(folder, workers, programs, signal) : workersOnly(workers);
    const site = { folder, backends: workers, issuer, connections: CONNECTIONS };
    return await act({
      site,
      backing,
      folder,
      programs,
      signal,
      tickUs: clockTickUs(),
      seconds,
      rounds,
      warmUp,
      say,
    });
  } finally {
    await programs.close();
    await issuer?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureAll(options: Options, progress: Progress, bench: Bench): Promise<number> {
  const machine = describeMachine(options.contenders, new Date());
  const intro = preamble({ ...options, machine, backends: bench.backing.doc });
  const top = `# ${TITLE}\n\n${intro}`;
  process.stdout.write(top);
  const sections: Section[] = [];
  let errors = 0;
  for (const row of options.rows) {
    progress.next();
    const { section, problems } = await measureRow(row, options, bench);
    errors += problems;
    // Each part as it comes: a long run that is stopped has not been for nothing.
    progress.around(() => process.stdout.write(markdown(section)));
    sections.push(section);
  }
  progress.end();
  if (options.markdown !== undefined)
    await writeFile(options.markdown, top + sections.map(markdown).join(""));
  if (options.html !== undefined) await writeFile(options.html, page({ title: TITLE, intro, sections }));
  return errors === 0 ? 0 : 1;
}
