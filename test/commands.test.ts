// Every command of the documents: run here, run by another test, or in a block that says what it needs.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { freePort } from "./support/family.ts";
import { ROOT, output, runScript, which } from "./support/processes.ts";
import { startWorker } from "./support/stack.ts";
import { start } from "./support/start.ts";
import { suiteScope } from "./support/suite.ts";

const pages = globSync("{*.md,docs/*.md,deploy/*.md,examples/*.md,examples/*/*.md}", { cwd: ROOT });

/** What a line of a shell begins with, settings before it included. */
const COMMAND =
  /^(?:[A-Z_]+=(?:'[^']*'|\S+) )*(?:npm|npx|node|git|curl|docker|gcloud|kubectl|python3|printf|\(cd)\b|^[A-Z]+=\$\(/;

interface Line {
  readonly page: string;
  readonly command: string;
}

/** The commands of a page, without their comments, that do not stand in a block which says what it needs. */
function commandsOf(page: string): Line[] {
  const blocks = readFileSync(join(ROOT, page), "utf8").matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm);
  return [...blocks]
    .filter(([, language]) => language === "" || language === "sh")
    .map(([, , block = ""]) => block)
    .filter((block) => !block.startsWith("# needs "))
    .flatMap((block) => block.replaceAll(/\\\n\s*/g, "").split("\n"))
    .filter((line) => COMMAND.test(line))
    .map((line) => ({ page, command: line.replace(/\s+#.*$/, "") }));
}

const commands = pages.flatMap(commandsOf);

/** Commands that another test runs, as they are written. */
const ELSEWHERE: readonly (readonly [command: RegExp, test: string])[] = [
  [/^npm ci && npm start$/, "test/e2e/start.test.ts"],
  [/^npm ci && npm test$/, ".ci/run"],
  // With these settings before it: planned by test/docs.test.ts, and those of the examples started by theirs.
  [/ npm start$/, "test/docs.test.ts"],
  [/^npm run deploy -- .*--dry-run$/, "test/scripts/deploy-runs.test.ts"],
  [/^npm run token -- start$/, "test/e2e/smoke.test.ts"],
  [/^\(cd examples\/go && go build/, "test/examples.test.ts"],
  [/^python3 -m grpc_tools\.protoc/, "test/examples.test.ts"],
  [/^PORT=9001 HOST=127\.0\.0\.1 python3 my_worker\.py &$/, "test/e2e/scale.test.ts"],
];

/** What the commands that are run here print. */
const HERE: readonly (readonly [command: string, prints: RegExp])[] = [
  ["curl http://localhost:8080/ping", /^\{"message":"pong"\}$/],
  ["curl --http2-prior-knowledge http://localhost:8080/ping", /^\{"message":"pong"\}$/],
  ["npm run smoke", /all 10 passed/],
  ["npm run doctor", /^ok +WebSocket by upgrade/m],
  ["curl http://localhost:8080/", /GET \/ping/],
  [
    "printf '\\0\\0\\0\\0\\0' | curl -s -H 'content-type: application/grpc-web+proto' --data-binary @- http://localhost:8080/Echo/Ping | xxd",
    /grpc-status/,
  ],
  [
    "curl -X PUT -d http://127.0.0.1:9001,http://127.0.0.1:9002 http://localhost:9090/upstreams/http",
    /"added":\["http:\/\/127\.0\.0\.1:\d+","http:\/\/127\.0\.0\.1:\d+"\]/,
  ],
  [
    "curl -X PUT -d http://127.0.0.1:9001,http://127.0.0.1:8081 http://localhost:9090/upstreams/http",
    /"removed":\[/,
  ],
];

/** The same, in one shell behind each other, with authentication. */
const WITH_TOKENS: readonly (readonly [command: string, prints: RegExp])[] = [
  ["TOKEN=$(npm run -s token -- mint)", /^$/],
  ['curl -H "authorization: Bearer $TOKEN" http://localhost:8080/echo', /x-auth-email/],
  ["curl http://localhost:8080/echo", /unauthenticated/],
  [
    'curl -H "authorization: Bearer $(npm run -s token -- mint --lifetime=-60)" http://localhost:8080/echo',
    /unauthenticated/,
  ],
  [
    'curl -H "authorization: Bearer $(npm run -s token -- mint --email other@b.c)" http://localhost:8080/echo',
    /forbidden/,
  ],
  ["npm run smoke -- --token $TOKEN", /all 10 passed/],
];

const run = new Set([...HERE, ...WITH_TOKENS].map(([command]) => command));
for (const { page, command } of commands) {
  test(`${page}: ${command}`, () => {
    const elsewhere = ELSEWHERE.find(([pattern]) => pattern.test(command));
    assert.ok(run.has(command) || elsewhere, "nothing runs it, and its block does not say what it needs");
    assert.ok(elsewhere === undefined || existsSync(join(ROOT, elsewhere[1])));
  });
}

test("no document has lost a command that is run here", () => {
  const written = new Set(commands.map(({ command }) => command));
  assert.deepEqual(
    [...run].filter((command) => !written.has(command)),
    [],
  );
});

const needsCurl = { skip: which("curl") === undefined && "curl is not installed" };
const suite = suiteScope();
let places: readonly (readonly [written: string, here: string])[] = [];

before(async () => {
  const admin = await freePort();
  const { program, port } = await start(suite, {
    ADMIN_PORT: String(admin),
    LOG_FORMAT: "json",
  });
  const [one, two, three] = await Promise.all(["http", "http", "http"].map(() => startWorker(suite, "http")));
  await program.says(/"message":"ready"/);
  places = [
    ["localhost:8080", `localhost:${port}`],
    ["localhost:9090", `localhost:${admin}`],
    ["127.0.0.1:9001", `127.0.0.1:${one}`],
    ["127.0.0.1:9002", `127.0.0.1:${two}`],
    ["127.0.0.1:8081", `127.0.0.1:${three}`],
    ["npm run smoke", `npm run smoke -- --server http://localhost:${port}`],
    ["npm run doctor", `npm run doctor -- --server http://localhost:${port}`],
  ];
});

/** Has a shell do it, with what is listened on here in place of what the document says. */
async function shell(lines: string, where: typeof places): Promise<string> {
  const here = where.reduce((text, [written, instead]) => text.replaceAll(written, instead), lines);
  return (await output("/bin/sh", ["-c", here.replaceAll("curl ", "curl -sS -m 20 ")])).out;
}

for (const [command, prints] of HERE) {
  test(`prints what it should: ${command}`, needsCurl, async () => {
    assert.match(await shell(command, places), prints);
  });
}

test("docs/auth.md, from the first token to the last refusal", needsCurl, async (t) => {
  const [port, admin, issuer] = [await freePort(), await freePort(), await freePort()];
  const started = runScript(t, "scripts/token.ts", ["start", "--issuer-port", String(issuer)], {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    LOG_FORMAT: "json",
    DRAIN_SECONDS: "1",
  });
  await started.says(/"message":"ready"/);
  const mark = "--- next ---";
  const script = WITH_TOKENS.map(([command]) => command).join(`\necho; echo '${mark}'\n`);
  const said = await shell(script, [
    ["localhost:8080", `localhost:${port}`],
    ["token -- mint", `token -- mint --issuer-port ${issuer}`],
    ["npm run smoke -- ", `npm run smoke -- --server http://localhost:${port} `],
  ]);
  const parts = said.split(mark).map((part) => part.trim());
  assert.equal(parts.length, WITH_TOKENS.length, said);
  for (const [i, [command, prints]] of WITH_TOKENS.entries()) assert.match(parts[i] ?? "", prints, command);
  assert.equal(await started.stop(), 0);
});
