import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { before, test } from "node:test";
import { allGone, family, freePort } from "../../support/family.ts";
import { severalStarted, shortly, startSeveral } from "../../support/several.ts";
import type { Workers } from "../../support/stack.ts";
import { startWorkers } from "../../support/stack.ts";
import { start } from "../../support/start.ts";
import { suiteScope } from "../../support/suite.ts";

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

test("a port in use: the sentence once, exit 1, and no process left", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.after(() => server.close());
  const { program, mark } = await startSeveral(t, workers, 2, {
    PORT: String((server.address() as AddressInfo).port),
  });
  assert.equal((await program.exited).code, 1);
  assert.equal(program.out.match(/is in use by another program/g)?.length, 1);
  assert.deepEqual(family(mark), []);
});

test("a second edge on the same port is refused, although both have several processes", async (t) => {
  const { port } = await severalStarted(t, workers, 2);
  const second = await startSeveral(t, workers, 2, { PORT: String(port) });
  assert.equal((await second.program.exited).code, 1);
  assert.match(second.program.out, /is in use by another program/);
});

test("workers that never answer: exit 1, not a loop", async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const { program, mark } = await startSeveral(t, workers, 2, { HTTP_UPSTREAMS: dead, STARTUP_SECONDS: "1" });
  assert.equal((await program.exited).code, 1);
  assert.match(program.out, /did not accept a connection within 1 s/);
  assert.match(program.out, /an edge process ended \(1\) before it was ready/);
  assert.deepEqual(family(mark), []);
});

test("wrong settings: every mistake once, exit 2", async (t) => {
  const { program } = await startSeveral(t, workers, 2, { LIMIT_STREAMS: "none" });
  assert.equal((await program.exited).code, 2);
  assert.equal(program.err.match(/LIMIT_STREAMS must be/g)?.length, 1);
});

test("SIGTERM while waiting for workers: exit 0 at once", async (t) => {
  const { program, mark, ask } = await startSeveral(t, workers, 2, {
    HTTP_UPSTREAMS: `http://127.0.0.1:${await freePort()}`,
  });
  while ((await ask("/readyz").catch(() => [0]))[0] !== 503) await shortly();
  assert.equal(await program.stop(), 0);
  await allGone(mark);
});

test("npm start with several: one ready block, SIGTERM ends all, exit 0", async (t) => {
  const { program, port, mark } = await start(t, { EDGE_PROCESSES: "2", LOG_FORMAT: "pretty" });
  await program.says(/npm run smoke/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  program.child.kill("SIGTERM");
  assert.equal((await program.exited).code, 0);
  assert.equal(program.out.match(/oneport is ready/g)?.length, 1);
  assert.deepEqual(family(mark), []);
});
