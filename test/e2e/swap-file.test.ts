// An upstreams file that is read at the start and again on SIGHUP, by one edge process, by several, and under `npm start`.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { RawClient } from "../support/clients.ts";
import { endFamily, family, freePort } from "../support/family.ts";
import type { Program } from "../support/processes.ts";
import { runScript } from "../support/processes.ts";
import { httpWorker } from "../support/workers.ts";

interface Reading {
  readonly program: Program;
  readonly port: number;
  readonly admin: number;
  readonly workers: Readonly<Record<"a" | "b", string>>;
  /** Writes the file, and has it read. */
  write(text: string): void;
}

/** An edge whose file names the HTTP worker `a`; what else it needs is there, too. */
async function reading(t: TestContext, script: string, env: Record<string, string> = {}): Promise<Reading> {
  const [port, admin] = [await freePort(), await freePort()];
  const [a, b] = await Promise.all(
    ["a", "b"].map((name) => httpWorker(t, (_req, res) => void res.end(name))),
  );
  assert.ok(a !== undefined && b !== undefined);
  const folder = mkdtempSync(join(tmpdir(), "oneport-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "upstreams.env");
  writeFileSync(file, `# first\nHTTP_UPSTREAMS=${a}\n`);
  const mark = `${process.pid}-${port}`;
  const program = runScript(t, script, [], {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    LOG_FORMAT: "json",
    UPSTREAMS_FILE: file,
    GRPC_UPSTREAMS: a.replace("http:", "h2c:"),
    WS_UPSTREAMS: a,
    TEST_MARK: mark,
    ...env,
  });
  t.after(() => endFamily(mark));
  await program.says(/"message":"ready"/);
  const write = (text: string): void => {
    writeFileSync(file, text);
    program.child.kill("SIGHUP");
  };
  return { program, port, admin, workers: { a, b }, write };
}

/** Which worker answers on a connection of its own. */
async function answers(t: TestContext, port: number): Promise<string> {
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  return (await client.closed).slice(-1);
}

for (const [what, script, env] of [
  ["one process", "edge/main.ts", {}],
  ["several processes", "edge/main.ts", { EDGE_PROCESSES: "2" }],
  ["npm start", "scripts/start.ts", {}],
] as const) {
  test(`${what}: SIGHUP reads the file again`, async (t) => {
    const { program, port, workers, write } = await reading(t, script, env);
    assert.equal(await answers(t, port), "a");
    write(`HTTP_UPSTREAMS=${workers.b}\n`);
    await program.says(/upstreams exchanged/);
    assert.deepEqual([await answers(t, port), await answers(t, port)], ["b", "b"]);
    assert.equal(await program.stop(), 0);
  });
}

for (const [why, text, says] of [
  [
    "names no worker that there is",
    "HTTP_UPSTREAMS=http://127.0.0.1:1",
    /accepted no connection; nothing was changed/,
  ],
  ["has a mistake", "HTTP_UPSTREAMS=localhost", /HTTP_UPSTREAMS must be http:/],
  [
    "has another name",
    "HTTP_UPSTREAM=http://127.0.0.1:1",
    /UPSTREAMS_FILE has HTTP_UPSTREAM, but may only have/,
  ],
] as const) {
  test(`a file that ${why} changes nothing, and the log says why`, async (t) => {
    const { program, port, write } = await reading(t, "edge/main.ts");
    write(text);
    await program.says(/upstreams not exchanged/);
    assert.match(program.out, says);
    assert.equal(await answers(t, port), "a");
  });
}

for (const count of ["1", "2"])
  test(`SIGHUP without a file is told of, and nothing else happens (EDGE_PROCESSES=${count})`, async (t) => {
    const { program, port } = await reading(t, "edge/main.ts", {
      EDGE_PROCESSES: count,
      UPSTREAMS_FILE: "",
      HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end("a")),
    });
    program.child.kill("SIGHUP");
    await program.says(/"SIGHUP: there is no file to read again, since UPSTREAMS_FILE is not set"/);
    assert.equal(await answers(t, port), "a");
    assert.equal(await program.stop(), 0);
  });

test("an edge process that is started again has the upstreams of the others", async (t) => {
  const { program, port, admin, workers } = await reading(t, "edge/main.ts", { EDGE_PROCESSES: "2" });
  const put = await fetch(`http://127.0.0.1:${admin}/upstreams/http`, { method: "PUT", body: workers.b });
  assert.deepEqual(
    [put.status, await put.json()],
    [200, { added: [workers.b], removed: [workers.a], kept: [] }],
  );
  const pids = family(`${process.pid}-${port}`).filter((pid) => pid !== program.pid);
  assert.equal(pids.length, 2);
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await program.says(/edge process ready[\s\S]*edge process ready/);
  assert.deepEqual([await answers(t, port), await answers(t, port)], ["b", "b"]);
});

test("a file that cannot be read keeps the edge from starting, in words", async (t) => {
  const program = runScript(t, "edge/main.ts", [], { UPSTREAMS_FILE: "/nowhere/upstreams.env" });
  assert.equal((await program.exited).code, 2);
  assert.match(program.err, /UPSTREAMS_FILE cannot be read: ENOENT/);
});
