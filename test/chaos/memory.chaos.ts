// What other clients notice of some that make the edge hold as much as it can: it ends them, and stays within its memory.
import assert from "node:assert/strict";
import { FrameClient, frame, headers } from "../support/frames.ts";
import { pause } from "../support/load.ts";
import { parseMetrics } from "../support/prometheus.ts";
import { scenario } from "../support/scenarios.ts";
import { edgeAlone } from "../support/stages.ts";

const CONNECTIONS = 40;
const STREAMS = 30;
const MUCH = "/download?bytes=100000000";

/** Windows of 2 GiB: what the edge gets from a worker then waits for nothing but the reading. */
const WIDE = [
  frame("SETTINGS", 0, 0, Buffer.from([0, 4, 0x7f, 0, 0, 0])),
  frame("WINDOW_UPDATE", 0, 0, Buffer.from([0x7f, 0, 0, 0])),
];

async function ended(admin: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return parseMetrics(text).value("oneport_limit_exceeded_total", { limit: "held" });
}

scenario({
  name: `${CONNECTIONS * STREAMS} downloads over HTTP/2 that nobody reads, LIMIT_HELD_MIB=32`,
  stage: (t) => edgeAlone(t, { LIMIT_HELD_MIB: "32" }),
  act: async ({ port, admin }, t) => {
    const clients: FrameClient[] = [];
    for (let i = 0; i < CONNECTIONS; i++) {
      const client = new FrameClient(t, port);
      client.open(...WIDE, ...Array.from({ length: STREAMS }, (_, at) => headers(2 * at + 1, "GET", MUCH)));
      client.socket.pause();
      clients.push(client);
      await pause(20);
    }
    await pause(2000);
    const count = await ended(admin);
    for (const { socket } of clients) socket.destroy();
    assert.ok(count > 0 && count < CONNECTIONS, `${count} of ${CONNECTIONS} were ended`);
  },
  expected: { may: {}, wellMs: 500, peakMiB: 350 },
});
