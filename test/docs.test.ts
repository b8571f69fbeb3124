import assert from "node:assert/strict";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { SETTINGS, readConfig } from "../edge/settings/config.ts";
import { failuresPage, settingsPage } from "../scripts/settings.ts";
import { WORKERS, planProcesses } from "../scripts/start/plan.ts";
import { ROOT, output } from "./support/processes.ts";

const pages = globSync("{*.md,docs/*.md,deploy/*.md,examples/*.md,examples/*/*.md}", { cwd: ROOT });
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

test("docs/settings.md is what the tables say (npm run settings)", () => {
  assert.equal(readFileSync(join(ROOT, "docs/settings.md"), "utf8"), settingsPage());
});

test("docs/failures.md is what the table says (npm run settings)", () => {
  assert.equal(readFileSync(join(ROOT, "docs/failures.md"), "utf8"), failuresPage());
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

/** `NAME=value NAME='value' npm start`, as documents have it. */
const START = /^((?:[A-Z0-9_]+=(?:'[^']*'|\S+) )+)npm start/gm;

for (const page of pages) {
  const text = readFileSync(join(ROOT, page), "utf8");
  for (const [command, settings = ""] of text.matchAll(START)) {
    test(`${page}: ${command} has settings that go together, and files that are there`, async () => {
      const env = Object.fromEntries(
        [...settings.matchAll(/([A-Z0-9_]+)=(?:'([^']*)'|(\S+))/g)].map(([, name, quoted, bare]) => [
          name,
          quoted ?? bare,
        ]),
      ) as Record<string, string>;
      await planProcesses(env, readConfig, "json");
      for (const [file] of settings.matchAll(/examples\/[\w./-]+\.(?:js|py)/g))
        assert.ok(existsSync(join(ROOT, file)), file);
    });
  }
}

test("docs/workers.md shows the Dockerfile that is in examples/base-image", () => {
  const shown = /```dockerfile\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, "docs/workers.md"), "utf8"))?.[1];
  const file = readFileSync(join(ROOT, "examples/base-image/Dockerfile"), "utf8");
  assert.equal(shown, file.replaceAll(/^#.*\n/gm, ""));
});

/** The Dockerfiles that start FROM oneport, and the folder each is built in. */
const DERIVED: readonly (readonly [file: string, context: string])[] = [
  ["Dockerfile", "examples/express"],
  ["python.Dockerfile", "examples/python"],
];
for (const [file, context] of DERIVED) {
  test(`examples/base-image/${file}: ends as another user than root, keeps the command, copies what is there`, () => {
    const text = readFileSync(join(ROOT, "examples/base-image", file), "utf8");
    assert.match(text, /^FROM oneport$/m);
    assert.equal(text.match(/^USER .*$/gm)?.at(-1), "USER node");
    assert.doesNotMatch(text, /^(CMD|ENTRYPOINT)/m);
    assert.match(text, new RegExp(`docker build -t \\S+ -f examples/base-image/${file} ${context}\n`));
    const [, run] = /^ENV HTTP_WORKER_COMMAND="exec \w+ (\S+)"$/m.exec(text) ?? [];
    for (const [, copied] of text.matchAll(/^COPY (\S+) /gm))
      assert.notDeepEqual(globSync(copied ?? "", { cwd: join(ROOT, context) }), [], copied);
    assert.ok(existsSync(join(ROOT, context, run ?? "")), run);
  });
}

test("the image's command is found from any WORKDIR", () => {
  const [, command] = /^CMD \["node", "(.*)"\]$/m.exec(readFileSync(join(ROOT, "Dockerfile"), "utf8")) ?? [];
  assert.equal(command, "/app/scripts/start.ts");
});

for (const file of globSync("examples/*/package.json", { cwd: ROOT })) {
  test(`${file}: the versions that its test runs with`, () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, file), "utf8")) as {
      dependencies: Record<string, string>;
    };
    for (const [name, version] of Object.entries(dependencies)) {
      const installed = readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8");
      assert.equal(version, (JSON.parse(installed) as { version: string }).version, name);
    }
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
