// The way from one container to four services: the commands and files in deploy/ fit the programs that they start.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SETTINGS, readConfig } from "../../edge/settings/config.ts";
import { originOf } from "../../edge/upstream/origin.ts";
import { WORKERS } from "../../scripts/start/plan.ts";
import { SILENCE } from "../support/silence.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const README = readFileSync(`${ROOT}deploy/README.md`, "utf8");
const KNOWN = new Set<string>(["PORT", "HOST", ...Object.values(SETTINGS).map(({ env }) => env)]);

// === the walkthrough

const FILLED: Readonly<Record<string, string>> = {
  PROJECT_ID: "my-project-123",
  REGION: "europe-west1",
  PROJECT_NUMBER: "123456789012",
  IMAGE: "europe-west1-docker.pkg.dev/my-project-123/oneport/oneport:1",
};

const blocks = [...README.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");

/** What one of the README's `gcloud run deploy` sets. */
interface Deployed {
  readonly service: string;
  readonly options: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string>>;
}

function readDeploy(line: string): Deployed {
  const filled = line.replace(/\$([A-Z_]+)/g, (_all, name: string) => FILLED[name] ?? assert.fail(name));
  const words = [...filled.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
  const [service = "", ...rest] = words.slice(3);
  const options = new Map<string, string>();
  for (const [at, word] of rest.entries())
    if (word.startsWith("--"))
      options.set(word, rest[at + 1]?.startsWith("--") === false ? (rest[at + 1] ?? "") : "");
  const list = (options.get("--set-env-vars") ?? "").replace("^|^", "").split("|");
  return {
    service,
    options,
    env: Object.fromEntries(list.map((pair) => pair.split(/=(.*)/s).slice(0, 2))) as Record<string, string>,
  };
}

const deployed = blocks
  .join("\n")
  .replaceAll("\\\n", " ")
  .split("\n")
  .filter((line) => line.startsWith("gcloud run deploy"))
  .map(readDeploy);
const edge = deployed.find(({ service }) => service === "oneport");

test("the walkthrough deploys an edge and three workers, from one image", () => {
  assert.deepEqual(
    deployed.map(({ service }) => service),
    ["oneport-http", "oneport-grpc", "oneport-ws", "oneport"],
  );
  for (const { options } of deployed) assert.equal(options.get("--image"), FILLED["IMAGE"]);
});

test("what needs Google Cloud or a cluster says so", () => {
  for (const block of blocks.filter((text) => /gcloud|kubectl/.test(text)))
    assert.match(block, /^# needs (Google Cloud|a cluster)/);
});

for (const { service, options, env } of deployed) {
  test(`${service} runs a program that exists, with settings that exist`, () => {
    assert.equal(options.get("--command"), "node");
    assert.ok(existsSync(ROOT + (options.get("--args") ?? "nothing")));
    assert.deepEqual(
      Object.keys(env).filter((name) => !KNOWN.has(name)),
      [],
    );
  });
}

for (const { protocol, upstreams } of WORKERS) {
  const worker = deployed.find(({ service }) => service === `oneport-${protocol}`);
  test(`the ${protocol} service is its worker alone, on all interfaces, and only those with the right may call it`, () => {
    assert.equal(worker?.options.get("--args"), `services/${protocol}/main.ts`);
    assert.deepEqual(worker.env, { HOST: "0.0.0.0" });
    assert.ok(worker.options.has("--no-allow-unauthenticated"));
    assert.equal(worker.options.has("--use-http2"), protocol === "grpc");
    assert.match(README, new RegExp(`for name in .*oneport-${protocol}\\b.*; do`));
  });
  test(`the edge finds the ${protocol} service by its name, and has a token for it`, () => {
    const name = `https://oneport-${protocol}-${FILLED["PROJECT_NUMBER"]}.${FILLED["REGION"]}.run.app`;
    assert.equal(edge?.env[upstreams], name);
  });
}

test("the edge takes these settings on Cloud Run, the door shut, and each upstream wants a token", () => {
  const config = readConfig({ ...edge?.env, PORT: "8080", K_SERVICE: "oneport" });
  assert.equal(config.authMode, "verify");
  for (const address of [...config.httpUpstreams, ...config.grpcUpstreams, ...config.wsUpstreams]) {
    const origin = originOf(address, { ...config, connectMs: 1 }, SILENCE);
    assert.equal(origin?.credentials.isReady, false, address.name);
    origin.credentials.close();
  }
});

test("the account that may call the workers is the edge's", () => {
  const account = edge?.options.get("--service-account") ?? "none";
  assert.match(account, /^oneport-edge@/);
  assert.ok(
    README.includes(
      "--member serviceAccount:oneport-edge@$PROJECT_ID.iam.gserviceaccount.com --role roles/run.invoker",
    ),
  );
  assert.ok(edge?.options.has("--allow-unauthenticated"));
});

// === Kubernetes and Knative

interface Resource {
  readonly kind: string;
  readonly name: string;
  readonly text: string;
  readonly env: Readonly<Record<string, string>>;
}

function first(text: string, pattern: RegExp): string | undefined {
  return pattern.exec(text)?.[1];
}

/** A file's resources. The files keep to a form that needs no YAML reader, checked below. */
function resourcesOf(file: string): Resource[] {
  const text = linesOf(file).join("\n");
  return text.split(/^---$/m).map((part) => ({
    kind: first(part, /^kind: (\w+)$/m) ?? "",
    name: first(part, /^metadata:\n {2}name: ([\w-]+)$/m) ?? "",
    text: part,
    env: Object.fromEntries(
      [...part.matchAll(/^ {12}- name: ([A-Z_]+)\n {14}value: "([^"\\]*)"$/gm)].map(([, name, value]) => [
        name,
        value,
      ]),
    ) as Record<string, string>,
  }));
}

function linesOf(file: string): string[] {
  const text = readFileSync(`${ROOT}deploy/${file}`, "utf8");
  return text.split("\n").filter((line) => !/^\s*(#|$)/.test(line));
}

const kubernetes = resourcesOf("kubernetes.yaml");
const knative = resourcesOf("knative.yaml");

function resource(kind: string, name: string): Resource {
  const [found, ...more] = kubernetes.filter((each) => each.kind === kind && each.name === name);
  assert.ok(found && more.length === 0, `one ${kind} ${name}`);
  return found;
}

for (const file of ["kubernetes.yaml", "knative.yaml"]) {
  test(`${file} has only lines of a form that this test can read`, () => {
    const forms = [
      /^---$/,
      /^(?: {2})*(?:- )?[A-Za-z][\w./-]*:$/,
      /^(?: {2})*(?:- )?[A-Za-z][\w./-]*: (?:[A-Za-z0-9/][\w./-]*|"[^"\\]*"|\["[^\\]*"\])$/,
    ];
    for (const line of linesOf(file))
      assert.ok(
        forms.some((form) => form.test(line)),
        line,
      );
  });

  test(`${file}: one image, programs and settings that exist, and nobody let in before it is edited`, () => {
    const resources = resourcesOf(file);
    const text = linesOf(file).join("\n");
    assert.deepEqual([...new Set(text.match(/image: .*/g))], ['image: "REGISTRY/oneport:TAG"']);
    for (const [, program = ""] of text.matchAll(/^ {10}args: \["(.*)"\]$/gm))
      assert.ok(existsSync(ROOT + program), program);
    const names = resources.flatMap(({ env }) => Object.keys(env));
    assert.equal(names.length, linesOf(file).filter((line) => /^ +value:/.test(line)).length);
    assert.deepEqual(
      names.filter((name) => !KNOWN.has(name)),
      [],
    );
    const config = readConfig({ PORT: "8080", ...resources.find(({ name }) => name === "edge")?.env });
    assert.equal(config.authMode, "verify");
    assert.deepEqual(config.accounts, ["caller@project_id.iam.gserviceaccount.com"]);
  });
}

for (const { protocol, scheme, upstreams } of WORKERS) {
  const name = `${protocol}-worker`;
  test(`kubernetes.yaml has the ${protocol} worker where both edges look for it, and lets only them reach it`, () => {
    const { text, env } = resource("Deployment", name);
    const port = env["PORT"];
    assert.equal(env["HOST"], "0.0.0.0");
    assert.equal(first(text, /^ {10}args: \["(.*)"\]$/m), `services/${protocol}/main.ts`);
    assert.equal(first(text, /^ {14}containerPort: (\d+)$/m), port);
    assert.equal(first(text, /^ {10}readinessProbe:\n(?:.*\n)+? +port: (\d+)$/m), port);
    assert.match(text, new RegExp(`^ {8}app: ${name}\n {8}behind: edge$`, "m"));
    const service = resource("Service", name);
    assert.equal(first(service.text, /^ {6}port: (\d+)$/m), port);
    assert.equal(first(service.text, /^ {6}targetPort: (\d+)$/m), port);
    assert.equal(first(service.text, /^ {4}app: (.+)$/m), name);
    for (const each of [resource("Deployment", "edge"), ...knative])
      assert.equal(each.env[upstreams], `${scheme}://${name}:${port}`);
  });
}

test("the policy is for the workers, and for the edge's pods on both", () => {
  const { text } = resource("NetworkPolicy", "workers");
  assert.match(text, /podSelector:\n {4}matchLabels:\n {6}behind: edge\n/);
  assert.match(text, /- podSelector:\n {12}matchLabels:\n {14}app: edge$/m);
  assert.match(resource("Deployment", "edge").text, /^ {8}app: edge$/m);
  assert.match(knative[0]?.text ?? "", /^ {8}app: edge$/m);
});

test("a pod of the edge has the time to drain", () => {
  const { text, env } = resource("Deployment", "edge");
  const grace = Number(first(text, /terminationGracePeriodSeconds: (\d+)/));
  const before = Number(first(text, /command: \["sleep", "(\d+)"\]/));
  assert.ok(before + readConfig(env).drainSeconds < grace);
});

test("the edge's probes ask its port, for longer than it waits for its workers", () => {
  const { text, env } = resource("Deployment", "edge");
  const [, port, period, failures] =
    /startupProbe:\n +tcpSocket:\n +port: (\d+)\n +periodSeconds: (\d+)\n +failureThreshold: (\d+)/.exec(
      text,
    ) ?? [];
  assert.equal(port, env["PORT"]);
  assert.ok(Number(period) * Number(failures) > readConfig(env).startupSeconds);
});

test("Knative's timeout comes after the edge's own goodbye", () => {
  const [service] = knative;
  assert.match(service?.text ?? "", /name: h2c\n/);
  const timeout = Number(first(service?.text ?? "", /timeoutSeconds: (\d+)/));
  assert.ok(Number(service?.env["LIMIT_TUNNEL_SECONDS"]) < timeout);
});
