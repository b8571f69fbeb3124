import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { listen } from "../../edge/port/listen.ts";
import { childPid, family, freePort } from "../support/family.ts";
import { Program, ROOT } from "../support/processes.ts";
import { start } from "../support/start.ts";

/** A line for /bin/sh: what is given, then an HTTP worker that answers "mine" and ends at SIGTERM. */
function workerAfter(line: string): string {
  const answer = `require("http").createServer((q,s)=>s.end("mine")).listen(process.env.PORT,"127.0.0.1")`;
  return `${line} exec ${process.execPath} -e '${answer}'`;
}

test("SIGTERM while the edge boots, before it can listen for signals: exit 0 at once", async (t) => {
  const { program, mark } = await start(t, { NODE_OPTIONS: `--require=${ROOT}test/support/slow-edge.cjs` });
  await program.says(/the edge boots/);
  assert.equal(await program.stop(), 0);
  assert.doesNotMatch(program.err, /the edge exited/);
  assert.deepEqual(family(mark), []);
});

test("an edge that does not end in its drain time is killed: exit 1, although stop had begun with 0", async (t) => {
  const { program, mark } = await start(t, { DRAIN_SECONDS: "0" });
  await program.says(/"message":"ready"/);
  process.kill(childPid(mark, "edge/main.ts"), "SIGSTOP");
  assert.equal(await program.stop(), 1);
  assert.deepEqual(family(mark), []);
});

test("a program that cannot be spawned is started again once for each failure", async (t) => {
  // The real supervisor, with a plan of its own: a file that is not there, and a count of how often it was asked for.
  const script = `
    import { Supervisor } from ${JSON.stringify(`${ROOT}scripts/start/supervisor.ts`)};
    let spawns = 0;
    const edge = { file: process.execPath, args: ["-e", "setInterval(() => {}, 1000)"] };
    const worker = { get file() { spawns++; return "/no/such/program"; }, args: [] };
    const plan = [
      { name: "edge", role: "edge", run: edge, env: {} },
      { name: "http", role: "worker", run: worker, env: {} },
    ];
    const code = await new Supervisor(plan, { pretty: false, drainMs: 0, ready() {} }).run();
    console.log("spawns", spawns);
    process.exit(code);
  `;
  const program = new Program(process.execPath, ["--input-type=module", "-e", script]);
  t.after(() => program.stop("SIGKILL"));
  assert.equal((await program.exited).code, 1);
  const waits = [...program.err.matchAll(/starting it again in (\d+) ms/g)].map(([, ms]) => Number(ms));
  assert.deepEqual(waits, [250, 500, 1000, 2000]);
  assert.match(program.err, /http exited \(-2\) 5 times before it was reachable; giving up/);
  const lines = program.err.trim().split("\n");
  assert.equal(lines.length, 5);
  for (const line of lines) {
    const { time } = JSON.parse(line) as { time: string };
    assert.equal(new Date(time).toISOString(), time);
  }
  assert.match(program.out, /spawns 5\n/);
});

test("a worker that does not open its port in time is told of, once, and what it has to do", async (t) => {
  const open = createServer();
  t.after(() => void open.close());
  const port = await listen(open, 0);
  const closed = await freePort();
  const script = `
    import { Supervisor } from ${JSON.stringify(`${ROOT}scripts/start/supervisor.ts`)};
    const run = { file: process.execPath, args: ["-e", "setInterval(() => {}, 1000)"] };
    const plan = [
      { name: "edge", role: "edge", run, env: {} },
      { name: "http", role: "worker", run, env: { PORT: "${closed}" } },
      { name: "ws", role: "worker", run, env: { PORT: "${port}" } },
    ];
    const supervisor = new Supervisor(plan, { pretty: false, drainMs: 0, portMs: 50, ready() {} });
    process.on("SIGTERM", () => supervisor.stop());
    process.exit(await supervisor.run());
  `;
  const program = new Program(process.execPath, ["--input-type=module", "-e", script]);
  t.after(() => program.stop("SIGKILL"));
  await program.says(/is not open yet/);
  await program.stop();
  const lines = program.err.trim().split("\n");
  const told = lines.map((line) => JSON.parse(line) as Record<string, string>);
  const of = told.filter(({ severity }) => severity === "WARNING").map(({ message }) => message);
  assert.deepEqual(of, [`http: port ${closed} is not open yet; a worker must listen on PORT at 127.0.0.1`]);
});

// On a terminal the output goes through the supervisor, which hears of a worker's end only when its output is closed.
const holders: [who: string, line: string][] = [
  ["a child that ignores SIGTERM", `(trap "" TERM; exec sleep 60) &`],
  ["a child in a session of its own", "setsid sleep 60 &"],
];
for (const [who, line] of holders) {
  test(`${who} holds a worker's output open: the end does not hang`, async (t) => {
    const { program, mark } = await start(t, {
      LOG_FORMAT: "pretty",
      HTTP_WORKER_COMMAND: workerAfter(line),
    });
    await program.says(/npm run (smoke|doctor)/);
    childPid(mark, "sleep");
    assert.equal(await program.stop(), 0);
  });

  test(`${who} holds a worker's output open: the worker is started again all the same`, async (t) => {
    const { program, port, mark } = await start(t, {
      LOG_FORMAT: "pretty",
      HTTP_WORKER_COMMAND: workerAfter(line),
    });
    await program.says(/npm run (smoke|doctor)/);
    process.kill(childPid(mark, "createServer"), "SIGKILL");
    await program.says(/http exited \(SIGKILL\); starting it again in 250 ms/);
    for (let status = 0; status !== 200;) status = (await fetch(`http://127.0.0.1:${port}/`)).status;
    assert.equal(await program.stop(), 0);
  });
}
