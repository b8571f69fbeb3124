// Calls that name no host: nghttp2, which is Node's, resets them, and ends a connection that has had a thousand of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, fields, frame } from "../support/frames.ts";
import { GRPC } from "../support/grpc.ts";
import { http2Worker } from "../support/workers.ts";

const UNNAMED: [how: string, more: [string, string][]][] = [
  ["without an authority", []],
  ["with an empty authority", [[":authority", ""]]],
];
for (const [how, more] of UNNAMED) {
  test(`calls ${how} are the client's fault, and get to no worker`, { timeout: 10_000 }, async (t) => {
    const [one, other] = await Promise.all(
      [0, 1].map(() =>
        http2Worker(t, (stream) =>
          stream.respond({ "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true }),
        ),
      ),
    );
    const { port, lines, logged } = await testEdge(t, {
      GRPC_UPSTREAMS: `${one},${other}`,
      EJECT_FAILURES: "1",
    });
    const client = new FrameClient(t, port);
    const block = fields([":method", "POST"], [":scheme", "http"], [":path", "/Echo/Ping"], ...more, [
      "content-type",
      "application/grpc",
    ]);
    client.open(frame("HEADERS", 5, 1, block));
    await client.until(/^HEADERS 1 END_STREAM$/);
    const line = await logged(({ outcome }) => outcome !== undefined);
    assert.equal(line["outcome"], "bad_request");
    assert.ok(!lines.some(({ message }) => message === "worker ejected"));
    assert.equal((await h2(http2Client(t, port), GRPC)).headers["grpc-status"], "0");
  });
}
