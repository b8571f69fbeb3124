import assert from "node:assert/strict";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { SETTINGS } from "../edge/config.ts";
import { settingsPage } from "../scripts/settings.ts";
import { WORKERS } from "../scripts/start/plan.ts";
import { ROOT, output } from "./support/processes.ts";

const pages = globSync("{*.md,docs/*.md}", { cwd: ROOT });
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

test("docs/settings.md is what the tables say (npm run settings)", () => {
  assert.equal(readFileSync(join(ROOT, "docs/settings.md"), "utf8"), settingsPage());
});

for (const page of pages) {
  const text = readFileSync(join(ROOT, page), "utf8");
  test(`${page}: every link to a file leads somewhere`, () => {
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      assert.ok(existsSync(join(ROOT, dirname(page), target ?? "")), target);
    }
  });
  test(`${page}: every npm script it names exists`, () => {
    for (const [, name] of text.matchAll(/npm run (?:-s )?([a-z]+)/g))
      assert.ok(name !== undefined && name in manifest.scripts, name);
  });
  test(`${page}: every setting it names exists`, () => {
    const known = new Set<string>([
      ...Object.values(SETTINGS).map(({ env }) => env),
      ...WORKERS.flatMap(({ count, command }) => [count, command]),
    ]);
    for (const [, name] of text.matchAll(/`((?:AUTH|LIMIT|HTTP|GRPC|WS)_[A-Z_]+)[`=]/g))
      assert.ok(known.has(name ?? ""), name);
  });
}

test(".ci/run calls the README's test command", () => {
  const command = "npm ci && npm test";
  assert.ok(readFileSync(join(ROOT, "README.md"), "utf8").includes(command));
  assert.ok(readFileSync(join(ROOT, ".ci/run"), "utf8").split("\n").includes(command));
});

test("the lock file names no registry", () => {
  assert.doesNotMatch(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved"/);
});

function names(text: string, pattern: RegExp): (string | undefined)[] {
  return [...text.matchAll(pattern)].map((match) => match[1]);
}

test("the generated types fit proto/echo.proto: the same methods, in the same order", () => {
  const proto = readFileSync(join(ROOT, "proto/echo.proto"), "utf8");
  const generated = readFileSync(join(ROOT, "services/grpc/gen/echo_pb.ts"), "utf8");
  assert.deepEqual(names(generated, /@generated from rpc Echo\.(\w+)/g), names(proto, /rpc (\w+)\(/g));
  assert.deepEqual(names(generated, /@generated from message (\w+)\n/g), names(proto, /^message (\w+)/gm));
});

test("the descriptor that reflection answers with is that of proto/echo.proto (npm run generate)", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "oneport-test-")), "echo.binpb");
  const { exited, err } = await output(join(ROOT, "node_modules/.bin/buf"), [
    "build",
    "proto",
    "--exclude-source-info",
    "-o",
    file,
  ]);
  assert.equal((await exited).code, 0, err);
  assert.ok(readFileSync(file).equals(readFileSync(join(ROOT, "services/grpc/gen/echo.binpb"))));
  rmSync(dirname(file), { recursive: true });
});
