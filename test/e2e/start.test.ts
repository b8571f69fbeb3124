import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { allGone, childPid, family } from "../support/family.ts";
import { Program, ROOT, output } from "../support/processes.ts";
import { start } from "../support/start.ts";

test("start brings up all three protocols; SIGTERM ends all, exit 0, in order", async (t) => {
  const { program, port, mark } = await start(t);
  await program.says(/"message":"ready"/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  const grpc = await h2(
    http2Client(t, port),
    { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" },
    Buffer.alloc(5),
  );
  assert.equal(grpc.trailers["grpc-status"], "0");
  const running = fetch(`http://127.0.0.1:${port}/slow?ms=500`);
  await program.says(/GET \/ping/);
  await new Promise((resolve) => setTimeout(resolve, 100));
  program.child.kill("SIGTERM");
  assert.equal((await running).status, 200);
  assert.deepEqual(await program.exited, { code: 0, signal: null });
  assert.deepEqual(family(mark), []);
});

test("every line is JSON when nobody looks", async (t) => {
  const { program, port } = await start(t);
  await program.says(/"message":"ready"/);
  await (await fetch(`http://127.0.0.1:${port}/ping`)).text();
  await program.stop();
  for (const line of program.out.trim().split("\n")) assert.doesNotThrow(() => void JSON.parse(line), line);
});

test("on a terminal: prefixes, and one ready block with a line per protocol", async (t) => {
  const { program, port } = await start(t, { LOG_FORMAT: "pretty" });
  await program.says(/npm run smoke/);
  assert.match(program.out, /\[edge\]/);
  assert.match(program.out, new RegExp(`curl http://localhost:${port}/ping`));
  assert.match(program.out, new RegExp(`grpcurl -plaintext localhost:${port} Echo/Ping`));
  assert.match(program.out, new RegExp(`ws://localhost:${port}/ws`));
  assert.equal(await program.stop("SIGINT"), 0);
});

test("a worker that dies is started again", async (t) => {
  const { program, port, mark } = await start(t);
  await program.says(/"message":"ready"/);
  process.kill(childPid(mark, "services/http/"), "SIGKILL");
  await program.says(/http exited \(SIGKILL\); starting it again in 250 ms/);
  await program.says(/worker unreachable[\s\S]*|http worker listening[\s\S]*http worker listening/);
  for (let status = 0; status !== 200;) status = (await fetch(`http://127.0.0.1:${port}/ping`)).status;
  assert.equal(await program.stop(), 0);
});

test("the edge dying ends all, with its exit code", async (t) => {
  const { program, mark } = await start(t);
  await program.says(/"message":"ready"/);
  process.kill(childPid(mark, "edge/main.ts"), "SIGKILL");
  assert.equal((await program.exited).code, 1);
  assert.match(program.err, /the edge exited \(SIGKILL\)/);
  assert.deepEqual(family(mark), []);
});

test("no process is left behind when the supervisor itself is killed", async (t) => {
  const { program, mark } = await start(t);
  await program.says(/"message":"ready"/);
  await program.stop("SIGKILL");
  await allGone(mark);
});

test("a second signal ends all at once", async (t) => {
  const { program, port, mark } = await start(t, { DRAIN_SECONDS: "60" });
  await program.says(/"message":"ready"/);
  void fetch(`http://127.0.0.1:${port}/slow?ms=60000`).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 200));
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  program.child.kill("SIGTERM");
  await program.exited;
  assert.deepEqual(family(mark), []);
});

test("a worker that ignores SIGTERM does not hold the stop", async (t) => {
  const { program, mark } = await start(t, {
    HTTP_WORKER_COMMAND: `${process.execPath} -e 'process.on("SIGTERM",()=>{});require("http").createServer((q,s)=>s.end("mine")).listen(process.env.PORT,"127.0.0.1")'`,
  });
  await program.says(/"message":"ready"/);
  assert.equal(await program.stop(), 0);
  assert.deepEqual(family(mark), []);
});

test("HTTP_WORKER_COMMAND swaps in any program; it gets its own PORT", async (t) => {
  const { program, port, mark } = await start(t, {
    HTTP_WORKER_COMMAND: `${process.execPath} -e 'require("http").createServer((q,s)=>s.end("mine "+q.url)).listen(process.env.PORT,"127.0.0.1")' # a shell line`,
  });
  await program.says(/"message":"ready"/);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/x`)).text(), "mine /x");
  assert.equal(await program.stop(), 0);
  assert.deepEqual(family(mark), []);
});

test("GRPC_WORKERS=2 starts two, and both work", async (t) => {
  const { program, port, mark } = await start(t, { GRPC_WORKERS: "2" });
  await program.says(/"message":"ready"/);
  assert.equal(
    family(mark).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("services/grpc/"))
      .length,
    2,
  );
  const session = http2Client(t, port);
  for (let i = 0; i < 10; i++) {
    const reply = await h2(
      session,
      { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" },
      Buffer.alloc(5),
    );
    assert.equal(reply.trailers["grpc-status"], "0");
  }
  await program.says(/(?:"worker":"h2c:[^]*){10}/);
  const workers = new Set([...program.out.matchAll(/"worker":"(h2c:[^"]+)"/g)].map((match) => match[1]));
  assert.equal(workers.size, 2);
  await program.stop();
});

test("a worker command that cannot work: a clear end, not a wait", async (t) => {
  const { program, mark } = await start(t, { WS_WORKER_COMMAND: "no-such-program --at-all" });
  assert.equal((await program.exited).code, 1);
  assert.match(program.err, /ws exited \(127\) 5 times before it was reachable; giving up/);
  assert.deepEqual(family(mark), []);
});

test("a port in use: a sentence, and exit 1", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.after(() => server.close());
  const { program, mark } = await start(t, { PORT: String((server.address() as AddressInfo).port) });
  assert.equal((await program.exited).code, 1);
  assert.match(program.out, /is in use by another program \(PORT, ADMIN_PORT\)/);
  assert.deepEqual(family(mark), []);
});

const wrong: [why: string, env: Record<string, string>, says: RegExp][] = [
  [
    "a count that is a word",
    { HTTP_WORKERS: "many" },
    /HTTP_WORKERS must be a whole number from 0 to 32, not "many"/,
  ],
  [
    "workers here and elsewhere",
    { WS_WORKERS: "1", WS_UPSTREAMS: "http://127.0.0.1:1" },
    /WS_WORKERS starts workers, but WS_UPSTREAMS says they are elsewhere/,
  ],
  ["no worker and nowhere else", { GRPC_WORKERS: "0" }, /GRPC_WORKERS is 0, so GRPC_UPSTREAMS must say/],
  [
    "mistakes of all kinds together",
    { HTTP_WORKERS: "x", AUTH_AUDIENCE: "y", PORT: "z" },
    /HTTP_WORKERS[\s\S]*PORT must be[\s\S]*AUTH_AUDIENCE is set without/,
  ],
  ["Cloud Run without authentication", { K_SERVICE: "api" }, /On Cloud Run/],
];
for (const [why, env, says] of wrong) {
  test(`wrong settings (${why}): every mistake at once, exit 2, nothing started`, async () => {
    const { err, exited } = await output(process.execPath, [`${ROOT}scripts/start.ts`], env);
    assert.equal((await exited).code, 2);
    assert.match(err, says);
  });
}

for (const script of [
  "scripts/start.ts",
  "scripts/start/warm.ts",
  "scripts/smoke.ts",
  "scripts/token.ts",
  "scripts/deploy.ts",
  "scripts/bench/main.ts",
  "edge/main.ts",
  "services/http/main.ts",
  "services/grpc/main.ts",
  "services/ws/main.ts",
]) {
  test(`${script} --help says how it is used, exit 0`, async () => {
    const { out, exited } = await output(process.execPath, [ROOT + script, "--help"]);
    assert.equal((await exited).code, 0);
    assert.match(out, /^Usage: /);
  });
}

test("npm that is ended alone leaves nothing running", async (t) => {
  const { program, mark } = await start(t, {}, (env) => new Program("npm", ["start"], env));
  await program.says(/"message":"ready"/);
  program.child.kill("SIGTERM");
  await allGone(mark);
});

test("workers of one's own are not told of as the examples are", async (t) => {
  const { program, port } = await start(t, {
    LOG_FORMAT: "pretty",
    HTTP_WORKER_COMMAND: "exec node services/http/main.ts",
  });
  await program.says(/npm run doctor/);
  assert.match(program.out, new RegExp(`curl http://localhost:${port}/\n`));
  assert.match(program.out, new RegExp(`grpcurl -plaintext localhost:${port} Echo/Ping`));
});
