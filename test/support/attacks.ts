import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { h2, http2Client } from "./clients.ts";
import { testEdge } from "./edge.ts";
import { FrameClient } from "./frames.ts";
import { http2Worker, httpWorker } from "./workers.ts";

/** Runs `attack` on a connection of its own; answers how that ended, and which limits it met. Meanwhile others are served. */
export async function under(
  t: TestContext,
  attack: (client: FrameClient) => void,
  env: Record<string, string> = {},
): Promise<{ end: string; limits: unknown[] }> {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const grpc = await http2Worker(t, (stream) =>
    stream.respond({ ":status": 200, "content-type": "application/grpc" }),
  );
  const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker, GRPC_UPSTREAMS: grpc, ...env });
  const other = http2Client(t, port);
  assert.equal((await h2(other, { ":path": "/" })).headers[":status"], 200);
  const client = new FrameClient(t, port);
  client.open();
  attack(client);
  const [end] = await Promise.all([client.ended, h2(other, { ":path": "/" })]);
  assert.equal((await h2(other, { ":path": "/" })).headers[":status"], 200);
  return { end, limits: lines.flatMap(({ limit }) => limit ?? []) };
}
