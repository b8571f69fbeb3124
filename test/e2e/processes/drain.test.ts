import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { before, test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import { allGone, family } from "../../support/family.ts";
import { severalStarted, shortly } from "../../support/several.ts";
import type { Workers } from "../../support/stack.ts";
import { startWorkers } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { httpWorker } from "../../support/workers.ts";

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

test("SIGTERM: all drain together, running requests finish, exit 0", async (t) => {
  const { program, port, mark, untilRunning } = await severalStarted(t, workers, 2);
  const slow = [new RawClient(t, port), new RawClient(t, port)];
  for (const client of slow) client.send("GET /slow?ms=600 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(2);
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  assert.equal(await new RawClient(t, port).closed, "");
  for (const client of slow)
    assert.match(await client.closed, /^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*"ms":600/i);
  assert.deepEqual(await program.exited, { code: 0, signal: null });
  assert.deepEqual(family(mark), []);
});

test("SIGTERM: connections that a process has not taken are closed when it dies, and not given to one that drains", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const worker = await httpWorker(t, (_req, res) => asked.resolve(res));
  const { program, port, pids, ask } = await severalStarted(t, workers, 2, { HTTP_UPSTREAMS: worker });
  const [stopped = 0] = await pids();
  process.kill(stopped, "SIGSTOP");
  // One of two goes to each process; half of the silent ones will wait for the one that is stopped.
  const asking = [new RawClient(t, port), new RawClient(t, port)];
  for (const client of asking) client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
  const silent = Array.from({ length: 4 }, () => new RawClient(t, port));
  const reply = await asked.promise;
  const accepted = async (): Promise<number> =>
    ((await ask("/processes"))[1] as { connections: number }[]).reduce(
      (sum, each) => sum + each.connections,
      0,
    );
  while ((await accepted()) < 6) await shortly();
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  process.kill(stopped, "SIGKILL");
  for (const client of silent) assert.equal(await client.closed, "");
  reply.end("held");
  const replies = await Promise.all(asking.map(({ closed }) => closed));
  assert.deepEqual(replies.map((text) => text.endsWith("held")).toSorted(), [false, true]);
  assert.equal((await program.exited).code, 1);
});

test("SIGTERM while connections keep arriving: each is served or closed", async (t) => {
  const { program, port, mark } = await severalStarted(t, workers, 2);
  const outcomes = { served: 0, closed: 0, cut: 0 };
  const clients = Array.from({ length: 16 }, async () => {
    while (program.running) {
      const client = new RawClient(t, port);
      client.send("GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      const text = await client.closed;
      outcomes[/pong/.test(text) ? "served" : text === "" ? "closed" : "cut"]++;
    }
  });
  while (outcomes.served < 100) await shortly();
  assert.equal(await program.stop(), 0);
  await Promise.all(clients);
  assert.equal(outcomes.cut, 0);
  assert.deepEqual(family(mark), []);
});

test("when the drain time is over all end, exit 0", async (t) => {
  const { program, port, mark, untilRunning } = await severalStarted(t, workers, 2, { DRAIN_SECONDS: "0" });
  new RawClient(t, port).send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  assert.equal(await program.stop(), 0);
  assert.deepEqual(family(mark), []);
});

test("a process that does not end in time is killed, exit 1", async (t) => {
  const { program, mark, pids } = await severalStarted(t, workers, 2, { DRAIN_SECONDS: "0" });
  const [stuck = 0] = await pids();
  process.kill(stuck, "SIGSTOP");
  assert.equal(await program.stop(), 1);
  assert.deepEqual(family(mark), []);
});

test("a signal to the whole group, as Ctrl-C sends it, is one signal", async (t) => {
  const { program, port, mark, untilRunning } = await severalStarted(t, workers, 2);
  const slow = new RawClient(t, port);
  slow.send("GET /slow?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  for (const pid of family(mark)) process.kill(pid, "SIGINT");
  await slow.until(/"ms":500/);
  assert.equal((await program.exited).code, 0);
});

test("a second signal ends all at once", async (t) => {
  const { program, port, mark, untilRunning } = await severalStarted(t, workers, 2, { DRAIN_SECONDS: "60" });
  new RawClient(t, port).send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  program.child.kill("SIGTERM");
  assert.equal((await program.exited).code, 130);
  await allGone(mark);
});
