import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { countCpus } from "../../edge/processes/count.ts";
import { RawClient, h2, http2Client } from "../support/clients.ts";
import { allGone, endFamily, family, freePort } from "../support/family.ts";
import { FrameClient, frame } from "../support/frames.ts";
import type { Program } from "../support/processes.ts";
import { runScript } from "../support/processes.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { httpWorker } from "../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

interface Several {
  readonly program: Program;
  readonly port: number;
  readonly mark: string;
  /** A page of the admin port, and its status. */
  ask(path: string): Promise<[status: number, body: unknown]>;
  /** How often a limit was exceeded, as /metrics says. */
  metric(limit: string): Promise<number>;
  /** Pids of the children that are ready, in the order of their places. */
  pids(): Promise<number[]>;
  /** Resolves when that many exchanges are under way. */
  untilRunning(count: number): Promise<void>;
}

/** An edge of several processes in front of the stack's workers; not waited for. */
async function start(
  t: TestContext,
  processes: number | "auto",
  more: Record<string, string> = {},
): Promise<Several> {
  const [port, admin] = [await freePort(), await freePort()];
  const mark = `${process.pid}-${port}`;
  const program = runScript(t, "edge/main.ts", [], {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    EDGE_PROCESSES: String(processes),
    LOG_FORMAT: "json",
    HTTP_UPSTREAMS: `http://127.0.0.1:${stack.http}`,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${stack.grpc}`,
    WS_UPSTREAMS: `http://127.0.0.1:${stack.ws}`,
    TEST_MARK: mark,
    ...more,
  });
  t.after(() => endFamily(mark));
  const ask = async (path: string): Promise<[number, unknown]> => {
    const reply = await fetch(`http://127.0.0.1:${admin}${path}`);
    return [reply.status, await reply.json()];
  };
  const metric = async (limit: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
    return Number(new RegExp(`\\{limit="${limit}"\\} (\\d+)`).exec(text)?.[1]);
  };
  const pids = async (): Promise<number[]> =>
    ((await ask("/processes"))[1] as { pid: number; ready: boolean }[])
      .filter(({ ready }) => ready)
      .map(({ pid }) => pid);
  const untilRunning = async (count: number): Promise<void> => {
    while (((await ask("/readyz"))[1] as { running: number }).running < count) await shortly();
  };
  return { program, port, mark, ask, metric, pids, untilRunning };
}

async function started(
  t: TestContext,
  processes: number,
  more: Record<string, string> = {},
): Promise<Several> {
  const several = await start(t, processes, more);
  await several.program.says(/"message":"ready"/);
  return several;
}

/** Between two looks at something that tells nobody when it changes. */
function shortly(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10));
}

/** A request on a kept connection, by a path of its own, that the log knows it by; answers the pid of who served it. */
async function served(client: RawClient, program: Program, name: string): Promise<number> {
  client.text = "";
  client.send(`HEAD /${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.until(/^HTTP\/1\.1 404 [\s\S]*\r\n\r\n$/);
  return Number((await program.says(new RegExp(`"pid":(\\d+)[^\\n]*"requestUrl":"/${name}"`)))[1]);
}

test("connections are shared out evenly, and every protocol is served", async (t) => {
  const { program, port, pids, ask } = await started(t, 3);
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
  const { program, port, ask } = await started(t, 2);
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
  const { program, port, mark, ask } = await started(t, 1);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  assert.deepEqual(family(mark), [program.pid]);
  assert.doesNotMatch(program.out, /"pid"/);
  assert.equal((await ask("/processes"))[0], 404);
});

test("auto: as many as there are CPUs", async (t) => {
  const { program, mark } = await start(t, "auto");
  await program.says(/"message":"ready"/);
  const count = countCpus();
  assert.equal(family(mark).length, count === 1 ? 1 : count + 1);
  assert.equal(await program.stop(), 0);
});

test("the admin port speaks for all", async (t) => {
  const { program, port, ask, untilRunning } = await started(t, 2);
  const slow = Array.from({ length: 2 }, () => fetch(`http://127.0.0.1:${port}/slow?ms=1000`));
  await untilRunning(2);
  assert.deepEqual(await ask("/livez"), [200, { phase: "ready" }]);
  assert.deepEqual(((await ask("/upstreams"))[1] as Record<string, unknown>)["http"], [
    { address: `http://127.0.0.1:${stack.http}`, healthy: true, active: 2 },
  ]);
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  assert.deepEqual(await ask("/readyz"), [503, { phase: "draining", running: 2 }]);
  for (const each of slow) assert.equal((await each).status, 200);
  assert.equal((await program.exited).code, 0);
  for (const line of program.out.trim().split("\n")) assert.doesNotThrow(() => void JSON.parse(line), line);
  assert.equal(program.out.match(/"message":"ready"/g)?.length, 1);
});

test("a process that is killed takes its own connections with it, and no other; it comes back", async (t) => {
  const { program, port, pids } = await started(t, 2);
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
  const { program, pids } = await started(t, 2);
  let [victim = 0] = await pids();
  for (const restartMs of [250, 500, 1000]) {
    process.kill(victim, "SIGKILL");
    program.out = "";
    await program.says(new RegExp(`"pid":${victim},"exit":"SIGKILL","restartMs":${restartMs},`));
    victim = Number((await program.says(/"pid":(\d+),"message":"edge process ready"/))[1]);
  }
});

test("a connection on its way to a process that dies is served by another", async (t) => {
  const { program, port, pids } = await started(t, 2);
  const [stopped = 0] = await pids();
  process.kill(stopped, "SIGSTOP");
  const clients = Array.from({ length: 4 }, () => new RawClient(t, port));
  const answers = clients.map((client, index) => served(client, program, `way-${index}`));
  await Promise.any(answers);
  process.kill(stopped, "SIGKILL");
  assert.ok(!(await Promise.all(answers)).includes(stopped));
});

test("what a process has counted is not forgotten when it dies, nor left out when it does not answer", async (t) => {
  const { program, port, pids, metric } = await started(t, 2, { LIMIT_EMPTY_FRAMES: "10" });
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
  const { program, port, pids } = await started(t, 3);
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

test("SIGTERM: all drain together, running requests finish, exit 0", async (t) => {
  const { program, port, mark, untilRunning } = await started(t, 2);
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
  const { program, port, pids, ask } = await started(t, 2, { HTTP_UPSTREAMS: worker });
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
  const { program, port, mark } = await started(t, 2);
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
  const { program, port, mark, untilRunning } = await started(t, 2, { DRAIN_SECONDS: "0" });
  new RawClient(t, port).send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  assert.equal(await program.stop(), 0);
  assert.deepEqual(family(mark), []);
});

test("a process that does not end in time is killed, exit 1", async (t) => {
  const { program, mark, pids } = await started(t, 2, { DRAIN_SECONDS: "0" });
  const [stuck = 0] = await pids();
  process.kill(stuck, "SIGSTOP");
  assert.equal(await program.stop(), 1);
  assert.deepEqual(family(mark), []);
});

test("a signal to the whole group, as Ctrl-C sends it, is one signal", async (t) => {
  const { program, port, mark, untilRunning } = await started(t, 2);
  const slow = new RawClient(t, port);
  slow.send("GET /slow?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  for (const pid of family(mark)) process.kill(pid, "SIGINT");
  await slow.until(/"ms":500/);
  assert.equal((await program.exited).code, 0);
});

test("a second signal ends all at once", async (t) => {
  const { program, port, mark, untilRunning } = await started(t, 2, { DRAIN_SECONDS: "60" });
  new RawClient(t, port).send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  await untilRunning(1);
  program.child.kill("SIGTERM");
  await program.says(/draining/);
  program.child.kill("SIGTERM");
  assert.equal((await program.exited).code, 130);
  await allGone(mark);
});

test("no process is left behind when the parent is killed", async (t) => {
  const { program, mark } = await started(t, 2);
  assert.equal(family(mark).length, 3);
  await program.stop("SIGKILL");
  await allGone(mark);
});

test("a port in use: the sentence once, exit 1, and no process left", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.after(() => server.close());
  const { program, mark } = await start(t, 2, { PORT: String((server.address() as AddressInfo).port) });
  assert.equal((await program.exited).code, 1);
  assert.equal(program.out.match(/is in use by another program/g)?.length, 1);
  assert.deepEqual(family(mark), []);
});

test("a second edge on the same port is refused, although both have several processes", async (t) => {
  const { port } = await started(t, 2);
  const second = await start(t, 2, { PORT: String(port) });
  assert.equal((await second.program.exited).code, 1);
  assert.match(second.program.out, /is in use by another program/);
});

test("workers that never answer: exit 1, not a loop", async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const { program, mark } = await start(t, 2, { HTTP_UPSTREAMS: dead, STARTUP_SECONDS: "1" });
  assert.equal((await program.exited).code, 1);
  assert.match(program.out, /did not accept a connection within 1 s/);
  assert.match(program.out, /an edge process ended \(1\) before it was ready/);
  assert.deepEqual(family(mark), []);
});

test("wrong settings: every mistake once, exit 2", async (t) => {
  const { program } = await start(t, 2, { LIMIT_STREAMS: "none" });
  assert.equal((await program.exited).code, 2);
  assert.equal(program.err.match(/LIMIT_STREAMS must be/g)?.length, 1);
});

test("SIGTERM while waiting for workers: exit 0 at once", async (t) => {
  const { program, mark, ask } = await start(t, 2, {
    HTTP_UPSTREAMS: `http://127.0.0.1:${await freePort()}`,
  });
  while ((await ask("/readyz").catch(() => [0]))[0] !== 503) await shortly();
  assert.equal(await program.stop(), 0);
  await allGone(mark);
});

test("npm start with several: one ready block, SIGTERM ends all, exit 0", async (t) => {
  const port = await freePort();
  const mark = `${process.pid}-${port}`;
  t.after(() => endFamily(mark));
  const program = runScript(t, "scripts/start.ts", [], {
    PORT: String(port),
    ADMIN_PORT: "0",
    EDGE_PROCESSES: "2",
    LOG_FORMAT: "pretty",
    TEST_MARK: mark,
  });
  await program.says(/npm run smoke/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  program.child.kill("SIGTERM");
  assert.equal((await program.exited).code, 0);
  assert.equal(program.out.match(/oneport is ready/g)?.length, 1);
  assert.deepEqual(family(mark), []);
});
