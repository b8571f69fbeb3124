import assert from "node:assert/strict";
import { before, test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import { allGone, family } from "../../support/family.ts";
import { FrameClient, frame } from "../../support/frames.ts";
import { served, severalStarted, shortly } from "../../support/several.ts";
import type { Workers } from "../../support/stack.ts";
import { startWorkers } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

test("a process that is killed takes its own connections with it, and no other; it comes back", async (t) => {
  const { program, port, pids } = await severalStarted(t, workers, 2);
  const [doomed, other] = [new RawClient(t, port), new RawClient(t, port)];
  const pid = await served(doomed, program, "doomed");
  const otherPid = await served(other, program, "other");
  assert.notEqual(pid, otherPid);
  process.kill(pid, "SIGKILL");
  await doomed.closed;
  assert.equal(await served(other, program, "still"), otherPid);
  assert.equal(await served(new RawClient(t, port), program, "new"), otherPid);
  await program.says(
    new RegExp(`"pid":${pid},"exit":"SIGKILL","restartMs":250,"message":"edge process ended"`),
  );
  const again = Number((await program.says(/"pid":(\d+),"message":"edge process ready"/))[1]);
  assert.deepEqual((await pids()).toSorted(), [again, otherPid].toSorted());
  assert.equal(await served(new RawClient(t, port), program, "again"), again);
  assert.equal(await program.stop(), 0);
});

test("a process that keeps dying is started again after pauses that grow", async (t) => {
  const { program, pids } = await severalStarted(t, workers, 2);
  let [victim = 0] = await pids();
  for (const restartMs of [250, 500, 1000]) {
    process.kill(victim, "SIGKILL");
    program.out = "";
    await program.says(new RegExp(`"pid":${victim},"exit":"SIGKILL","restartMs":${restartMs},`));
    victim = Number((await program.says(/"pid":(\d+),"message":"edge process ready"/))[1]);
  }
});

test("a connection on its way to a process that dies is served by another", async (t) => {
  const { program, port, pids } = await severalStarted(t, workers, 2);
  const [stopped = 0] = await pids();
  process.kill(stopped, "SIGSTOP");
  const clients = Array.from({ length: 4 }, () => new RawClient(t, port));
  const answers = clients.map((client, index) => served(client, program, `way-${index}`));
  await Promise.any(answers);
  process.kill(stopped, "SIGKILL");
  assert.ok(!(await Promise.all(answers)).includes(stopped));
});

test("what a process has counted is not forgotten when it dies, nor left out when it does not answer", async (t) => {
  const { program, port, pids, metric } = await severalStarted(t, workers, 2, { LIMIT_EMPTY_FRAMES: "10" });
  const exceed = async (): Promise<void> => {
    const client = new FrameClient(t, port);
    const priority = frame("PRIORITY", 0, 1, Buffer.from([0, 0, 0, 0, 16]));
    client.open(...Array.from({ length: 30 }, () => priority));
    assert.equal(await client.ended, "GOAWAY 11");
  };
  // One for each process.
  await exceed();
  await exceed();
  assert.equal(await metric("empty"), 2);
  const [dying = 0, stuck = 0] = await pids();
  process.kill(dying, "SIGKILL");
  await program.says(/"message":"edge process ended"/);
  assert.equal(await metric("empty"), 2);
  await program.says(/"message":"edge process ready"/);
  assert.equal(await metric("empty"), 2);
  process.kill(stuck, "SIGSTOP");
  assert.equal(await metric("empty"), 2);
  process.kill(stuck, "SIGCONT");
  await exceed();
  assert.equal(await metric("empty"), 3);
});

test("no request hangs when processes are killed while connections come and go", async (t) => {
  const { program, port, pids } = await severalStarted(t, workers, 3);
  const over = new AbortController();
  const outcomes: string[] = [];
  const clients = Array.from({ length: 16 }, async () => {
    while (!over.signal.aborted) {
      const client = new RawClient(t, port);
      client.send("GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      outcomes.push(/pong/.test(await client.closed) ? "served" : "broken");
    }
  });
  for (let kills = 0; kills < 3; kills++) {
    const [victim = 0] = await pids();
    process.kill(victim, "SIGKILL");
    await program.says(new RegExp(`"pid":${victim},"exit"`));
    while ((await pids()).length < 3) await shortly();
  }
  over.abort();
  await Promise.all(clients);
  assert.ok(outcomes.length > 100, `only ${outcomes.length} requests`);
  const broken = outcomes.filter((outcome) => outcome === "broken").length;
  assert.ok(broken <= 3 * clients.length, `${broken} of ${outcomes.length} broke`);
});

test("no process is left behind when the parent is killed", async (t) => {
  const { program, mark } = await severalStarted(t, workers, 2);
  assert.equal(family(mark).length, 3);
  await program.stop("SIGKILL");
  await allGone(mark);
});
