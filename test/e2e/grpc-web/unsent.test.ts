// A gRPC-Web reply that fails within a message before anything of it has left the edge: the client gets a gRPC-Web answer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { testEdge } from "../../support/edge.ts";
import { END_HEADERS, END_STREAM, fields, frame } from "../../support/frames.ts";
import { message } from "../../support/grpc.ts";
import { BINARY, TEXT, webCall } from "../../support/grpc-web.ts";
import { rawWorker } from "../../support/workers.ts";

const INTERNAL_ERROR = Buffer.from([0, 0, 0, 2]);

/** What follows half a message, all of it in the write that began the reply. */
const ends: [how: string, last: Buffer, status: string, outcome: string][] = [
  ["resets it", frame("RST_STREAM", 0, 1, INTERNAL_ERROR), "14", "upstream_reset"],
  [
    "ends it and calls that OK",
    frame("HEADERS", END_HEADERS | END_STREAM, 1, fields(["grpc-status", "0"])),
    "13",
    "upstream_garbage",
  ],
];

for (const [how, last, status, outcome] of ends)
  for (const kind of [BINARY, TEXT])
    test(`a worker begins a message and ${how} at once: trailers-only (${kind["content-type"]})`, async (t) => {
      const head = fields([":status", "200"], ["content-type", "application/grpc"]);
      const reply = Buffer.concat([
        frame("SETTINGS", 0, 0),
        frame("HEADERS", END_HEADERS, 1, head),
        frame("DATA", 0, 1, message(60).subarray(0, 20)),
        last,
      ]);
      let hasAnswered = false;
      const worker = await rawWorker(t, (socket, text) => {
        if (hasAnswered || !text.includes("/Echo/Ping")) return;
        hasAnswered = true;
        socket.write(reply);
      });
      const edge = await testEdge(t, { GRPC_UPSTREAMS: worker, CORS_ORIGINS: "https://page.example" });
      const asking = { headers: { ...kind, origin: "https://page.example" } };
      const body = kind === TEXT ? "AAAAAAA=" : message(0);
      const { status: http, headers, body: rest, over } = await webCall(t, edge.port, "1.1", body, asking);
      assert.deepEqual([http, headers["grpc-status"], rest.length, over], [200, status, 0, "complete"]);
      assert.equal(headers["content-type"], kind["content-type"]);
      assert.equal(headers["access-control-allow-origin"], "https://page.example");
      await edge.logged((line) => line["outcome"] === outcome && line["grpcStatus"] !== undefined);
    });
