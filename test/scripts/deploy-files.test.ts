import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SETTINGS, readConfig } from "../../edge/settings/config.ts";
import { planDeploy } from "../../scripts/deploy/plan.ts";
import { WORKERS } from "../../scripts/start/plan.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const FILES = ["service.yaml", "multi-container.yaml"];

/** What the edge, the workers and the start script read from the environment. */
const KNOWN = new Set<string>([
  "PORT",
  "HOST",
  ...Object.values(SETTINGS).map(({ env }) => env),
  ...WORKERS.flatMap(({ count, command, upstreams }) => [count, command, upstreams]),
]);

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly portName: string | undefined;
  readonly port: number | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly probe: {
    readonly port: number;
    readonly timeout: number;
    readonly period: number;
    readonly failures: number;
  };
}

/** A file's lines without comments and empty ones. The files keep to a form that needs no YAML reader, checked below. */
function linesOf(file: string): string[] {
  const text = readFileSync(`${ROOT}deploy/${file}`, "utf8");
  return text.split("\n").filter((line) => !/^\s*(#|$)/.test(line));
}

function first(text: string, pattern: RegExp): string | undefined {
  return pattern.exec(text)?.[1];
}

function number(text: string, pattern: RegExp): number {
  const found = first(text, pattern);
  assert.ok(found !== undefined, `${pattern} in:\n${text}`);
  return Number(found);
}

/** `["a", "b"]`: YAML's flow form is JSON. */
function words(text: string, key: string): readonly string[] {
  return JSON.parse(first(text, new RegExp(`^ {10}${key}: (\\[.*\\])$`, "m")) ?? "[]") as string[];
}

function readContainer(text: string): Container {
  const port = first(text, /^ {14}containerPort: (\d+)$/m);
  const env = [...text.matchAll(/^ {12}- name: ([A-Z_]+)\n {14}value: "([^"\\]*)"$/gm)];
  return {
    name: first(text, /^ {8}- name: ([a-z-]+)$/m) ?? "",
    image: first(text, /^ {10}image: "(.+)"$/m) ?? "",
    command: words(text, "command"),
    args: words(text, "args"),
    portName: first(text, /^ {10}ports:\n {12}- name: (\w+)$/m),
    port: port === undefined ? undefined : Number(port),
    env: Object.fromEntries(env.map(([, name, value]) => [name, value])),
    probe: {
      port: number(text, /^ {10}startupProbe:\n {12}tcpSocket:\n {14}port: (\d+)$/m),
      timeout: number(text, /^ {12}timeoutSeconds: (\d+)$/m),
      period: number(text, /^ {12}periodSeconds: (\d+)$/m),
      failures: number(text, /^ {12}failureThreshold: (\d+)$/m),
    },
  };
}

function containersOf(file: string): Container[] {
  const text = `${linesOf(file).join("\n")}\n`;
  const [, list = ""] = text.split(/^ {6}containers:$/m);
  return list
    .split(/^(?= {8}- )/m)
    .filter((part) => part.trim() !== "")
    .map(readContainer);
}

/** The one with the port. */
function ingress(file: string): Container {
  const found = containersOf(file).find(({ port }) => port !== undefined);
  assert.ok(found, `${file} has a container with a port`);
  return found;
}

for (const file of FILES) {
  test(`${file} has only lines of a form that this test can read`, () => {
    const forms = [
      /^(?: {2})*(?:- )?[A-Za-z][\w./-]*:$/,
      /^(?: {2})*(?:- )?[A-Za-z][\w./-]*: (?:[A-Za-z0-9][\w./-]*|"[^"\\]*"|'[^']*'|\["[^"\\]*"\])$/,
    ];
    for (const line of linesOf(file))
      assert.ok(
        forms.some((form) => form.test(line)),
        line,
      );
  });

  test(`${file} is read whole: each value of each container`, () => {
    const values = linesOf(file).filter((line) => /^ +value:/.test(line)).length;
    const names = containersOf(file).flatMap(({ env }) => Object.keys(env));
    assert.equal(names.length, values);
    assert.ok(values > 0);
    for (const { name, image } of containersOf(file)) assert.ok(name !== "" && image !== "", name);
  });

  test(`${file} names only settings that exist`, () => {
    const names = containersOf(file).flatMap(({ env }) => Object.keys(env));
    assert.deepEqual(
      names.filter((name) => !KNOWN.has(name)),
      [],
    );
  });

  test(`${file} mentions in its comments only settings that exist`, () => {
    const comments = readFileSync(`${ROOT}deploy/${file}`, "utf8").match(/#.*$/gm)?.join("\n") ?? "";
    const mentioned = (comments.match(/\b[A-Z]+_[A-Z_]+\b/g) ?? []).filter((name) => name !== "PROJECT_ID");
    assert.deepEqual(
      mentioned.filter((name) => !KNOWN.has(name)),
      [],
    );
  });

  test(`${file} gives one container a port, which Cloud Run sets as PORT`, () => {
    const withPort = containersOf(file).filter(({ port }) => port !== undefined);
    assert.equal(withPort.length, 1);
    assert.equal(ingress(file).port, 8080);
    assert.equal(ingress(file).portName, "http1");
    assert.ok(!("PORT" in ingress(file).env));
  });

  test(`${file} gives the edge settings that it starts with on Cloud Run, the door shut`, () => {
    const config = readConfig({ ...ingress(file).env, PORT: "8080", K_SERVICE: "oneport" });
    assert.equal(config.authMode, "verify");
    assert.ok(config.drainSeconds < 10);
  });

  test(`${file} lets nobody in before it is edited`, () => {
    const { accounts = [] } = readConfig(ingress(file).env);
    // No project id has an underscore, so no such account can be made.
    assert.deepEqual(accounts, ["caller@project_id.iam.gserviceaccount.com"]);
  });

  test(`${file} probes the edge's port for longer than the edge waits for its workers`, () => {
    const { probe, port, env } = ingress(file);
    assert.equal(probe.port, port);
    assert.ok(probe.period * probe.failures > readConfig(env).startupSeconds);
  });

  test(`${file} has probes that Cloud Run takes`, () => {
    for (const { probe, name } of containersOf(file)) {
      assert.ok(probe.timeout <= probe.period, name);
      assert.ok(probe.period * probe.failures <= 240, name);
    }
  });

  test(`${file} has the limits that npm run deploy sets`, () => {
    const planned = planDeploy(["--project", "my-project", "--region", "us-central1", "--auth-off"]);
    const line = JSON.stringify(planned);
    const text = linesOf(file).join("\n");
    const concurrency = number(text, /^ {6}containerConcurrency: (\d+)$/m);
    const timeout = number(text, /^ {6}timeoutSeconds: (\d+)$/m);
    assert.match(line, new RegExp(`"--port","${ingress(file).port}"`));
    assert.match(line, new RegExp(`"--concurrency","${concurrency}"`));
    assert.match(line, new RegExp(`"--timeout","${timeout}"`));
  });

  test(`${file} runs one image`, () => {
    const images = new Set(containersOf(file).map(({ image }) => image));
    assert.deepEqual([...images], ["REGION-docker.pkg.dev/PROJECT_ID/oneport/oneport:TAG"]);
  });

  test(`${file} runs programs that exist`, () => {
    for (const { command, args } of containersOf(file)) {
      assert.ok(command.length === 0 || command[0] === "node");
      for (const program of args) assert.ok(existsSync(`${ROOT}${program}`), program);
    }
  });
}

test("multi-container.yaml starts the edge after all the others", () => {
  const text = linesOf("multi-container.yaml").join("\n");
  const order = first(text, /^ {8}run\.googleapis\.com\/container-dependencies: '(.+)'$/m) ?? "{}";
  const names = containersOf("multi-container.yaml").map(({ name }) => name);
  assert.deepEqual(JSON.parse(order), { edge: names.filter((name) => name !== "edge") });
  assert.equal(ingress("multi-container.yaml").name, "edge");
});

for (const { protocol, scheme, upstreams } of WORKERS) {
  test(`multi-container.yaml has the ${protocol} worker where the edge looks for it`, () => {
    const [worker, ...others] = containersOf("multi-container.yaml").filter(({ name }) => name === protocol);
    assert.ok(worker);
    assert.deepEqual(others, []);
    assert.deepEqual([worker.command, worker.args], [["node"], [`services/${protocol}/main.ts`]]);
    assert.equal(worker.env["PORT"], String(worker.probe.port));
    assert.equal(worker.env["HOST"], "0.0.0.0");
    assert.equal(
      ingress("multi-container.yaml").env[upstreams],
      `${scheme}://127.0.0.1:${worker.probe.port}`,
    );
  });
}

const DOCS = readFileSync(`${ROOT}docs/cloud-run.md`, "utf8");
/** Names in capitals that are no settings: what a reader fills in, and what a block of commands sets for itself. */
const PLACEHOLDERS = new Set(["PROJECT_ID", "PROJECT_NUMBER", "BACKEND_ID", "CALLER_EMAIL"]);

test("docs/cloud-run.md names only settings that exist", () => {
  const named: string[] = DOCS.match(/\b[A-Z]+_[A-Z_]+\b/g) ?? [];
  assert.ok(named.includes("TRUSTED_HOPS"));
  assert.deepEqual(
    named.filter((name) => !KNOWN.has(name) && !PLACEHOLDERS.has(name)),
    [],
  );
});

const examples = DOCS.replaceAll("\\\n", " ").match(/^npm run deploy -- .*$/gm) ?? [];

test("docs/cloud-run.md shows how to deploy", () => assert.equal(examples.length, 2));

for (const example of examples) {
  test(`docs/cloud-run.md: ${example} is understood`, () => {
    const filled = example.replaceAll("PROJECT_ID", "my-project-123").replaceAll("REGION", "europe-west1");
    const argv = filled.replaceAll("'", "").split(/ +/).slice("npm run deploy --".split(" ").length);
    const planned = planDeploy(argv);
    assert.equal(planned.kind, "commands", JSON.stringify(planned));
  });
}
