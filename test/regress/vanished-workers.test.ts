// A worker's machine that vanishes says nothing: the network has to be asked whether it is still there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { GRPC, message } from "../support/grpc.ts";
import { Holding } from "../support/holding.ts";
import { shortly } from "../support/several.ts";
import { httpWorker } from "../support/workers.ts";

/** Of each connection to a port of this machine, whether its keep-alive timer runs (Linux, Documentation/networking/proc_net_tcp). */
function keepsAlive(port: number): boolean[] {
  const to = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => remote === to && state === "01")
    .map(([, , , , , timer]) => timer?.startsWith("02:") === true);
}

async function untilKeptAlive(address: string): Promise<void> {
  const port = Number(new URL(address).port);
  for (;;) {
    const all = keepsAlive(port);
    if (all.length > 0 && all.every(Boolean)) return;
    await shortly();
  }
}

test("a connection to a gRPC worker asks for it", { timeout: 10_000 }, async (t) => {
  const worker = await Holding.start(t, 10);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.address });
  const reply = h2(http2Client(t, port), GRPC, message());
  await worker.call(0);
  await untilKeptAlive(worker.address);
  await worker.answer(0);
  assert.equal((await reply).headers["grpc-status"], "0");
});

test("a connection to an HTTP worker asks for it", { timeout: 10_000 }, async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal(await (await fetch(url)).text(), "ok");
  await untilKeptAlive(worker);
});
