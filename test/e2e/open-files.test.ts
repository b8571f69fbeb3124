// Connections cost files, and a process has so many of them: what is too much is refused at once, and the rest goes on.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { RawClient, h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { withFiles } from "../support/files.ts";
import type { Program } from "../support/processes.ts";
import { parseMetrics } from "../support/prometheus.ts";
import { shortly } from "../support/several.ts";
import { httpWorker } from "../support/workers.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

test("LIMIT_CONNECTIONS: one more is closed at once, counted, and logged once; one that leaves makes room", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const admin = await freePort();
  const { port, lines } = await testEdge(t, {
    HTTP_UPSTREAMS: worker,
    LIMIT_CONNECTIONS: "2",
    ADMIN_PORT: String(admin),
  });
  const kept = [new RawClient(t, port), new RawClient(t, port)];
  for (const client of kept) {
    client.send(GET);
    await client.until(/ok$/);
  }
  for (let i = 0; i < 3; i++) assert.equal(await new RawClient(t, port).closed, "");
  const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  assert.match(metrics, /^oneport_limit_exceeded_total\{limit="connections"\} 3$/m);
  assert.equal(lines.filter(({ severity }) => severity === "WARNING").length, 1);
  kept[1]?.send(GET);
  await kept[1]?.until(/ok[\s\S]*ok$/);
  kept[0]?.socket.destroy();
  const later = async (): Promise<string> => {
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return client.closed;
  };
  let text = "";
  while (text === "") text = await later();
  assert.match(text, /ok$/);
});

/** An edge that may have 100 files open, in front of this worker. */
async function with100Files(
  t: TestContext,
  worker: string,
  more: Record<string, string> = {},
): Promise<{ edge: Program; port: number; admin: number }> {
  const admin = await freePort();
  const edge = withFiles(t, 100, "edge/main.ts", {
    PORT: "0",
    ADMIN_PORT: String(admin),
    LOG_FORMAT: "json",
    HTTP_UPSTREAMS: worker,
    GRPC_UPSTREAMS: worker.replace("http", "h2c"),
    WS_UPSTREAMS: worker,
    ...more,
  });
  return { edge, admin, port: Number((await edge.says(/"port":(\d+)/))[1]) };
}

test("without it: fewer than half of the files, so the edge is alive and reachable when clients have taken all", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { edge, port, admin } = await with100Files(t, worker);
  const clients = Array.from({ length: 120 }, () => new RawClient(t, port));
  for (const client of clients) client.send(GET);
  // What had been sent and was not read makes a reset of the close.
  await Promise.all(
    clients.map((client) => Promise.race([client.until(/ok$/).catch(() => {}), client.closed])),
  );
  assert.equal(clients.filter(({ text }) => text.endsWith("ok")).length, 18);
  assert.match(edge.out, /"severity":"WARNING"[^\n]*LIMIT_CONNECTIONS/);
  assert.equal((await fetch(`http://127.0.0.1:${admin}/readyz`)).status, 200);
  for (const { socket } of clients) socket.destroy();
  await Promise.all(clients.map(({ closed }) => closed));
  // It hears of each of them a little later.
  let status: unknown;
  while (status === undefined) status = (await h2(http2Client(t, port), { ":path": "/" })).headers[":status"];
  assert.equal(status, 200);
});

/** Requests that were refused because there was no file for a connection to the worker. */
function outOfFiles(edge: Program): number {
  return edge.out.match(/"outcome":"out_of_files"/g)?.length ?? 0;
}

test("no file left for a connection to a worker: 503 out_of_files at once, and well again when there is", async (t) => {
  const held: ServerResponse[] = [];
  const worker = await httpWorker(t, (_req, res) => void held.push(res));
  const { edge, port } = await with100Files(t, worker);
  const session = http2Client(t, port);
  const streams = Array.from({ length: 100 }, () => settle(session.request({ ":path": "/" })));
  while (held.length + outOfFiles(edge) < 100) await shortly();
  for (const res of held.splice(0)) res.end("ok");
  const replies = await Promise.all(streams);
  const refused = replies.filter(({ headers }) => Number(headers[":status"]) === 503);
  assert.match(String(refused[0]?.body), /^{"error":"out_of_files"/);
  assert.equal(
    replies.filter(({ headers }) => Number(headers[":status"]) === 200).length,
    100 - refused.length,
  );
  const again = settle(session.request({ ":path": "/" }));
  while (held.length === 0) await shortly();
  held[0]?.end("ok");
  assert.equal(Number((await again).headers[":status"]), 200);
  session.close();
  await once(session, "close");
});

test("a process without a file left is measured all the same", async (t) => {
  const held: ServerResponse[] = [];
  const worker = await httpWorker(t, (_req, res) => void held.push(res));
  const { edge, port, admin } = await with100Files(t, worker, { EDGE_PROCESSES: "2" });
  // All on one connection, and so in one process.
  const session = http2Client(t, port);
  const streams = Array.from({ length: 100 }, () => settle(session.request({ ":path": "/" })));
  while (held.length + outOfFiles(edge) < 100) await shortly();
  assert.ok(outOfFiles(edge) > 0);
  const metrics = parseMetrics(await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text());
  // The parent counts, too.
  assert.equal(metrics.value("oneport_processes"), 3);
  assert.ok(metrics.value("process_resident_memory_bytes") > 0);
  for (const res of held.splice(0)) res.end("ok");
  const statuses = new Set((await Promise.all(streams)).map(({ headers }) => Number(headers[":status"])));
  assert.deepEqual(statuses, new Set([200, 503]));
});
