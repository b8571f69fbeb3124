// A request that a worker may have processed is never another worker's, whatever became of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { http2Worker, rawWorker } from "../support/workers.ts";

const GRPC = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", te: "trailers" };

/** Two workers of the same make; how many requests they had. */
async function two(
  make: (onRequest: () => void) => Promise<string>,
): Promise<{ upstreams: string; requests: () => number }> {
  let requests = 0;
  const workers = [await make(() => requests++), await make(() => requests++)];
  return { upstreams: workers.join(","), requests: () => requests };
}

const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
type Act = (socket: import("node:net").Socket) => void;
const http: [why: string, method: string, act: Act, status: number][] = [
  ["a POST whose connection is reset once its head is there", "POST", (s) => s.resetAndDestroy(), 502],
  ["a POST whose connection ends without a reply", "POST", (s) => s.end(), 502],
  ["a POST that is answered with nonsense", "POST", (s) => s.end("nonsense\r\n\r\n"), 502],
  ["a POST that is answered 503", "POST", (s) => s.end("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n"), 503],
  ["a POST that had an interim reply", "POST", (s) => s.end("HTTP/1.1 103 Early Hints\r\n\r\n"), 502],
  ["a GET on a new connection that is reset", "GET", (s) => s.resetAndDestroy(), 502],
  ["a DELETE whose connection is reset", "DELETE", (s) => s.resetAndDestroy(), 502],
  [
    "a POST whose reply breaks off half-way",
    "POST",
    (s) => s.write(`${HEAD}half`, () => s.resetAndDestroy()),
    200,
  ],
];
for (const [why, method, act, status] of http) {
  for (const carrier of ["http2-proxy", "direct"]) {
    for (const version of carrier === "direct" ? ["1.1", "2"] : ["1.1"]) {
      test(`${why} (HTTP/${version}, ${carrier})`, async (t) => {
        const { upstreams, requests } = await two((onRequest) =>
          rawWorker(t, (socket, text) => {
            if (!text.includes("\r\n\r\n")) return;
            onRequest();
            act(socket);
          }),
        );
        const { port, url } = await testEdge(t, { HTTP_UPSTREAMS: upstreams, HTTP1_CARRIER: carrier });
        const ask = async (): Promise<number> => {
          if (version === "1.1") return (await fetch(url, { method })).status;
          return Number(
            (await h2(http2Client(t, port), { ":method": method, ":path": "/" })).headers[":status"],
          );
        };
        assert.deepEqual([await ask(), requests()], [status, 1]);
      });
    }
  }
}

const MESSAGE = Buffer.from([0, 0, 0, 0, 1, 1]);
const grpc: [why: string, act: (stream: ServerHttp2Stream) => void, status: string][] = [
  [
    "a call up to the last stream of a worker's GOAWAY, when the connection ends",
    (stream) => {
      const { session, id } = stream;
      session!.goaway(0, id);
      // What was said before has been read when the PING is answered.
      session!.ping(() => session!.destroy());
    },
    "14",
  ],
  ["a call whose connection ends", (stream) => stream.session!.destroy(), "14"],
  ["a call that is reset with INTERNAL_ERROR", (stream) => stream.close(2), "14"],
  ["a call that is reset with CANCEL", (stream) => stream.close(8), "14"],
  ["a call that is reset with NO_ERROR", (stream) => stream.close(0), "14"],
  ["a call that had its deadline", () => {}, "4"],
  [
    "a call that is refused once its reply has begun",
    (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.write(MESSAGE, () => stream.close(7));
    },
    "14",
  ],
  [
    "a call that is answered UNAVAILABLE",
    (stream) =>
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "14" },
        { endStream: true },
      ),
    "14",
  ],
];
for (const [why, act, status] of grpc) {
  test(why, async (t: TestContext) => {
    const { upstreams, requests } = await two((onRequest) =>
      http2Worker(t, (stream) => {
        onRequest();
        act(stream);
      }),
    );
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: upstreams });
    const reply = await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "1000m" }, MESSAGE);
    const got = reply.headers["grpc-status"] ?? reply.trailers["grpc-status"];
    assert.deepEqual([got, requests()], [status, 1]);
  });
}

for (const [why, act] of [
  ["is reset", (socket) => socket.resetAndDestroy()],
  ["ends", (socket) => socket.end()],
  [
    "gets a 101 that does not answer it",
    (socket) => socket.write("HTTP/1.1 101 x\r\nupgrade: websocket\r\n\r\n"),
  ],
] as const satisfies readonly (readonly [string, Act])[]) {
  test(`a WebSocket handshake that ${why}`, async (t) => {
    const { upstreams, requests } = await two((onRequest) =>
      rawWorker(t, (socket) => {
        onRequest();
        act(socket);
      }),
    );
    const { port } = await testEdge(t, { WS_UPSTREAMS: upstreams });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    const [, reply] = (await once(socket, "unexpected-response")) as [
      unknown,
      { statusCode: number; destroy(): void },
    ];
    reply.destroy();
    assert.deepEqual([reply.statusCode, requests()], [502, 1]);
  });
}
