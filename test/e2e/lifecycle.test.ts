import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { runScript } from "../support/processes.ts";
import { startStack } from "../support/stack.ts";
import { httpWorker } from "../support/workers.ts";
import { UNTROUBLED } from "../support/views.ts";

/** The settings of an edge with one worker for everything. */
function settings(port: number, worker: number, more: Record<string, string> = {}): Record<string, string> {
  return {
    PORT: String(port),
    ADMIN_PORT: "0",
    LOG_FORMAT: "json",
    HTTP_UPSTREAMS: `http://127.0.0.1:${worker}`,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${worker}`,
    WS_UPSTREAMS: `http://127.0.0.1:${worker}`,
    ...more,
  };
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const open = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return open;
}

test("the port opens when the workers answer, and not before", async (t) => {
  const [port, admin, workerPort] = [await freePort(), await freePort(), await freePort()];
  const edge = runScript(t, "edge/main.ts", [], settings(port, workerPort, { ADMIN_PORT: String(admin) }));
  while (!(await isOpen(admin))) await new Promise((resolve) => setTimeout(resolve, 20));
  const ready = await fetch(`http://127.0.0.1:${admin}/readyz`);
  assert.deepEqual([ready.status, await ready.json()], [503, { phase: "starting", running: 0 }]);
  assert.equal(await isOpen(port), false);
  const worker = createServer((_req, res) => res.end("ok"));
  t.after(() => void worker.close());
  worker.listen(workerPort, "127.0.0.1");
  await edge.says(/"message":"ready"/);
  assert.equal(await isOpen(port), true);
  assert.equal((await fetch(`http://127.0.0.1:${admin}/readyz`)).status, 200);
});

test("workers that never answer: a sentence that names one, exit 1", async (t) => {
  const edge = runScript(
    t,
    "edge/main.ts",
    [],
    settings(await freePort(), await freePort(), { STARTUP_SECONDS: "1" }),
  );
  assert.equal((await edge.exited).code, 1);
  assert.match(
    edge.out,
    /the worker at (http|h2c):\/\/127\.0\.0\.1:\d+ did not accept a connection within 1 s/,
  );
});

test("SIGTERM while waiting for workers: exit 0 at once", async (t) => {
  const admin = await freePort();
  const edge = runScript(
    t,
    "edge/main.ts",
    [],
    settings(await freePort(), await freePort(), { ADMIN_PORT: String(admin) }),
  );
  while (!(await isOpen(admin))) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await edge.stop(), 0);
});

test("the admin port answers on loopback what the edge is doing", async (t) => {
  const admin = await freePort();
  const worker = await httpWorker(t, (_req, res) => void res.end());
  const { edge, port } = await testEdge(t, {
    HTTP_UPSTREAMS: worker,
    ADMIN_PORT: String(admin),
    DRAIN_SECONDS: "1",
  });
  const ask = async (path: string, method = "GET"): Promise<[number, unknown]> => {
    const reply = await fetch(`http://127.0.0.1:${admin}${path}`, { method });
    return [reply.status, await reply.json()];
  };
  assert.deepEqual(await ask("/livez"), [200, { phase: "ready" }]);
  assert.deepEqual(await ask("/readyz"), [200, { phase: "ready", running: 0 }]);
  const [status, upstreams] = await ask("/upstreams");
  assert.deepEqual(
    [status, (upstreams as Record<string, unknown>)["http"]],
    [200, [{ address: worker, healthy: true, active: 0, ...UNTROUBLED }]],
  );
  const metrics = await fetch(`http://127.0.0.1:${admin}/metrics`);
  assert.match(await metrics.text(), /^oneport_limit_exceeded_total\{limit="resets"\} 0$/m);
  assert.equal((await ask("/nothing"))[0], 404);
  assert.equal((await ask("/livez", "DELETE"))[0], 405);
  const waiting = connect(port, "127.0.0.1");
  waiting.on("error", () => {});
  await once(waiting, "connect");
  await edge.drain();
});

/** The most memory a process has had, in MiB. */
function peakMiB(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

test("256 MiB down and 128 MiB up leave the edge's memory flat", async (t) => {
  const { edge, port, url } = await startStack(t);
  await (await fetch(`${url}/ping`)).text();
  const before = peakMiB(edge.pid);
  const session = http2Client(t, port);
  const mib = 1024 * 1024;
  const download = session.request({ ":path": `/download?bytes=${256 * mib}` });
  let bytes = 0;
  for await (const chunk of download as AsyncIterable<Buffer>) bytes += chunk.length;
  assert.equal(bytes, 256 * mib);
  const up = await h2(session, { ":method": "PUT", ":path": "/upload" }, Buffer.alloc(128 * mib));
  assert.match(up.body.toString(), new RegExp(`"bytes":${128 * mib}`));
  const grown = peakMiB(edge.pid) - before;
  assert.ok(grown < 100, `the edge grew by ${grown.toFixed(0)} MiB`);
});
