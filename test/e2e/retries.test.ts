// What may be sent again is sent again within a budget, and beyond it the client hears of the failure.
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import { test } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

const NONE = { RETRY_PERCENT: "0", RETRY_PER_SECOND: "0" };
const GRPC = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", te: "trailers" };

function answer(stream: ServerHttp2Stream): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
}

for (const [how, env, statuses] of [
  ["within the budget it goes to another one", {}, [200, 200]],
  ["without one the client hears of it, and the next goes to the other one", NONE, [503, 200]],
] as const) {
  test(`a worker that refuses connections: ${how}`, async (t) => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
    const { port } = gone.address() as { port: number };
    const other = await httpWorker(t, (_req, res) => void res.end("ok"));
    const { url } = await testEdge(t, { HTTP_UPSTREAMS: `http://127.0.0.1:${port},${other}`, ...env });
    await new Promise((resolve) => gone.close(resolve));
    assert.deepEqual([(await fetch(url)).status, (await fetch(url)).status], statuses);
  });
}

for (const [how, env, last] of [
  ["within the budget it is sent once more", {}, 200],
  ["without one it is not", NONE, 502],
] as const) {
  for (const version of ["2", "1.1"]) {
    test(`a safe request whose kept connection is dead: ${how} (HTTP/${version})`, async (t) => {
      const worker = await rawWorker(t, (socket, text) => {
        if (text.split("\r\n\r\n").length > 2) return void socket.resetAndDestroy();
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      });
      const { port, url } = await testEdge(t, { HTTP_UPSTREAMS: worker, ...env });
      const session = http2Client(t, port);
      const get = async (): Promise<number> =>
        version === "2"
          ? Number((await h2(session, { ":path": "/" })).headers[":status"])
          : (await fetch(url)).status;
      assert.deepEqual([await get(), await get()], [200, last]);
    });
  }
}

test("calls that a worker refuses are sent again as long as they are a fifth of all", async (t) => {
  let refusals = 0;
  const refusing = await http2Worker(t, (stream) => {
    refusals++;
    stream.close(7);
  });
  const good = await http2Worker(t, answer);
  const { port } = await testEdge(t, {
    GRPC_UPSTREAMS: `${refusing},${good}`,
    RETRY_PERCENT: "20",
    RETRY_PER_SECOND: "0",
    EJECT_FAILURES: "0",
  });
  const session = http2Client(t, port);
  let failed = 0;
  // Four more than a multiple of five, so that the last of the budget has been asked for.
  for (let i = 0; i < 44; i++) if ((await h2(session, GRPC, "")).headers["grpc-status"] === "14") failed++;
  assert.equal(refusals - failed, 8);
});
