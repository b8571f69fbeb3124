import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import { WebSocket } from "ws";
import { countCpus } from "../../../edge/processes/count.ts";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { family } from "../../support/family.ts";
import { served, severalStarted, shortly, startSeveral } from "../../support/several.ts";
import type { Workers } from "../../support/stack.ts";
import { startWorkers } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { UNTROUBLED } from "../../support/views.ts";

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

test("connections are shared out evenly, and every protocol is served", async (t) => {
  const { program, port, pids, ask } = await severalStarted(t, workers, 3);
  const clients = Array.from({ length: 6 }, () => new RawClient(t, port));
  for (const client of clients) await once(client.socket, "connect");
  const by = await Promise.all(clients.map((client, index) => served(client, program, `even-${index}`)));
  assert.deepEqual([...new Set(by)].toSorted(), (await pids()).toSorted());
  assert.deepEqual(
    ((await ask("/processes"))[1] as { connections: number }[]).map(({ connections }) => connections),
    [2, 2, 2],
  );
  const grpc = await h2(
    http2Client(t, port),
    { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" },
    Buffer.alloc(5),
  );
  assert.equal(grpc.trailers["grpc-status"], "0");
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  await once(socket, "open");
  socket.close(1000);
  assert.deepEqual((await once(socket, "close"))[0], 1000);
  assert.equal(await program.stop(), 0);
});

test("a connection that has closed makes room for the next", async (t) => {
  const { program, port, ask } = await severalStarted(t, workers, 2);
  const [first, second] = [new RawClient(t, port), new RawClient(t, port)];
  const by = await served(first, program, "first");
  await served(second, program, "second");
  first.socket.destroy();
  const connections = async (): Promise<number[]> =>
    ((await ask("/processes"))[1] as { connections: number }[]).map((each) => each.connections);
  while ((await connections()).toSorted().join() !== "0,1") await shortly();
  assert.equal(await served(new RawClient(t, port), program, "third"), by);
});

test("one process: no parent, no child, and lines without a pid", async (t) => {
  const { program, port, mark, ask } = await severalStarted(t, workers, 1);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  assert.deepEqual(family(mark), [program.pid]);
  assert.doesNotMatch(program.out, /"pid"/);
  assert.equal((await ask("/processes"))[0], 404);
});

test("auto: as many as there are CPUs", async (t) => {
  const { program, mark } = await startSeveral(t, workers, "auto");
  await program.says(/"message":"ready"/);
  const count = countCpus();
  assert.equal(family(mark).length, count === 1 ? 1 : count + 1);
  assert.equal(await program.stop(), 0);
});

test("the admin port speaks for all", async (t) => {
  const { program, port, ask, untilRunning } = await severalStarted(t, workers, 2);
  const slow = Array.from({ length: 2 }, () => fetch(`http://127.0.0.1:${port}/slow?ms=1000`));
  await untilRunning(2);
  assert.deepEqual(await ask("/livez"), [200, { phase: "ready" }]);
  assert.deepEqual(((await ask("/upstreams"))[1] as Record<string, unknown>)["http"], [
    { address: `http://127.0.0.1:${workers.http}`, healthy: true, active: 2, ...UNTROUBLED },
  ]);
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  assert.deepEqual(await ask("/readyz"), [503, { phase: "draining", running: 2 }]);
  for (const each of slow) assert.equal((await each).status, 200);
  assert.equal((await program.exited).code, 0);
  for (const line of program.out.trim().split("\n")) assert.doesNotThrow(() => void JSON.parse(line), line);
  assert.equal(program.out.match(/"message":"ready"/g)?.length, 1);
});
