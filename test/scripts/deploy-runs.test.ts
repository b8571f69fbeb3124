// Runs the script, with a PATH on which gcloud is a stand-in or missing: the real one is never called.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { shellLine } from "../../scripts/deploy/plan.ts";
import { AUTH, PLACE, SCRIPT, commands } from "../support/deploy.ts";

const OPEN =
  "On Cloud Run (K_SERVICE is set) the door is never left open by accident: set --audience and --accounts, or --auth-off.";

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** What gcloud was called with, a line each. */
  readonly calls: readonly string[];
}

/** Runs the script; the stand-in notes its arguments and does what `acts` says for the first of them. */
function script(t: TestContext, argv: readonly string[], acts?: Readonly<Record<string, string>>): Outcome {
  const folder = mkdtempSync(join(tmpdir(), "oneport-deploy-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const log = join(folder, "calls");
  const cases = Object.entries(acts ?? {}).map(([word, act]) => `${word}) ${act};;`);
  const source = `#!/bin/sh\necho "$*" >> '${log}'\ncase $1 in ${cases.join(" ")} esac\n`;
  const gcloud = join(folder, acts === undefined ? "not-gcloud" : "gcloud");
  writeFileSync(gcloud, source);
  chmodSync(gcloud, 0o755);
  const run = spawnSync(process.execPath, [SCRIPT, ...argv], { encoding: "utf8", env: { PATH: folder } });
  const calls = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : [];
  return { code: run.status, out: run.stdout, err: run.stderr, calls };
}

test("a run calls gcloud for each command, and prints it first", (t) => {
  const { code, out, calls } = script(t, [...PLACE, ...AUTH], {});
  assert.equal(code, 0);
  assert.deepEqual(
    calls,
    commands([...PLACE, ...AUTH]).map(([, ...args]) => args.join(" ")),
  );
  assert.equal(
    out,
    commands([...PLACE, ...AUTH])
      .map((command) => `${shellLine(command)}\n`)
      .join(""),
  );
});

test("a dry run prints the same and calls nothing", (t) => {
  const dry = script(t, [...PLACE, ...AUTH, "--dry-run"], {});
  assert.equal(dry.code, 0);
  assert.deepEqual(dry.calls, []);
  assert.equal(dry.out, script(t, [...PLACE, ...AUTH], {}).out);
});

test("a dry run needs no gcloud", (t) => {
  const { code, out, err } = script(t, [...PLACE, ...AUTH, "--dry-run"]);
  assert.equal(code, 0);
  assert.equal(out.split("\n").length, 3);
  assert.equal(err, "");
});

test("a build that fails is the end, with its exit code", (t) => {
  const { code, calls } = script(t, [...PLACE, ...AUTH], { builds: "exit 7" });
  assert.equal(code, 7);
  assert.equal(calls.length, 1);
});

test("a deployment that fails gives its exit code", (t) => {
  const { code, calls } = script(t, [...PLACE, ...AUTH], { run: "exit 3" });
  assert.equal(code, 3);
  assert.equal(calls.length, 2);
});

test("a command ended by a signal gives 128 and the signal", (t) => {
  const { code } = script(t, [...PLACE, ...AUTH], { builds: "kill -TERM $$" });
  assert.equal(code, 128 + 15);
});

test("without gcloud there is a sentence, and exit code 1", (t) => {
  const { code, err } = script(t, [...PLACE, ...AUTH]);
  assert.equal(code, 1);
  assert.match(err, /^gcloud is not on PATH: install the Google Cloud CLI/);
});

test("mistakes are listed, exit code 2, and nothing is called", (t) => {
  const { code, out, err, calls } = script(t, PLACE, {});
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.equal(err, `Nothing was deployed:\n  - ${OPEN}\nSee npm run deploy -- --help.\n`);
  assert.deepEqual(calls, []);
});

test("--help names every option", (t) => {
  const { code, out } = script(t, ["--help"]);
  assert.equal(code, 0);
  const named = ["--project", "--region", "--service", "--repository", "--http2", "--audience", "--accounts"];
  for (const option of [...named, "--auth-off", "--dry-run", "--help"])
    assert.ok(out.includes(`  ${option} `), option);
});
