// Calls that wait for one of the worker's streams: how they leave the queue, and who is to blame.
import assert from "node:assert/strict";
import type { ClientHttp2Session, ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { h2, http2Client, settle } from "../../support/clients.ts";
import type { UpstreamsView } from "../../../edge/admin/admin.ts";
import { testEdge } from "../../support/edge.ts";
import { freePort } from "../../support/family.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { WebCall } from "../../support/grpc-web.ts";
import { Holding } from "../../support/holding.ts";

/** Resolves when so many bytes of a call have come. */
function untilRead(call: ServerHttp2Stream, bytes: number): Promise<void> {
  let read = 0;
  return new Promise((resolve) => {
    call.on("data", (chunk: Buffer) => {
      read += chunk.length;
      if (read >= bytes) resolve();
    });
  });
}

/** Sends, and resolves when the edge has read it. */
async function send(session: ClientHttp2Session, call: ClientHttp2Stream, chunk: Buffer): Promise<void> {
  await new Promise((resolve) => call.write(chunk, resolve));
  await pong(session);
}

function pong(session: ClientHttp2Session): Promise<unknown> {
  return new Promise((resolve) => session.ping(resolve));
}

test("a refused call that has become too large to be sent again is not held against the next worker", async (t) => {
  const refusing = await Holding.start(t, 100);
  const full = await Holding.start(t, 1);
  const third = await Holding.start(t, 100);
  const { port, lines, logged } = await testEdge(t, {
    GRPC_UPSTREAMS: [refusing, full, third].map(({ address }) => address).join(),
    LIMIT_UPSTREAM_CONNECTIONS: "1",
    EJECT_FAILURES: "1",
    EJECT_MS: "60000",
    EJECT_MAX_MS: "60000",
  });
  const session = http2Client(t, port);
  const first = h2(session, GRPC, message());
  await refusing.call(0);
  void h2(session, GRPC, message());
  await full.call(0);
  void h2(session, GRPC, message());
  await third.call(0);

  const large = session.request(GRPC, { endStream: false });
  const reply = settle(large);
  large.write(message(40_000));
  const refused = await refusing.call(1);
  await untilRead(refused, 40_000);
  refused.close(7);
  await refusing.answer(0);
  // The answer came behind the refusal: now the call waits for the next worker.
  await first;
  await send(session, large, message(40_000));
  await full.answer(0);

  assert.equal((await reply).headers["grpc-status"], "14");
  const line = await logged(({ outcome }) => outcome === "upstream_reset");
  assert.equal(line["worker"], refusing.address);
  const ejected = lines.filter((each) => each["message"] === "worker ejected").map((each) => each["worker"]);
  assert.deepEqual(ejected, [refusing.address]);
  assert.equal(full.count, 1);
});

/** Resolves when the edge has so many exchanges under way with its gRPC worker. */
async function untilActive(admin: number, wanted: number): Promise<void> {
  for (;;) {
    const answered = await fetch(`http://127.0.0.1:${admin}/upstreams`);
    const { grpc } = (await answered.json()) as UpstreamsView;
    if (grpc?.[0]?.active === wanted) return;
  }
}

/** Clients that ask, and how they leave. */
const clients: [who: string, ask: (t: TestContext, port: number) => () => void][] = [
  [
    "resets its call",
    (t, port) => {
      const call = http2Client(t, port).request(GRPC, { endStream: false });
      call.on("error", () => {});
      return () => call.close(8);
    },
  ],
  [
    "closes its connection",
    (t, port) => {
      const session = http2Client(t, port);
      session.request(GRPC, { endStream: false }).on("error", () => {});
      return () => session.destroy();
    },
  ],
  [
    "closes its connection (gRPC-Web over HTTP/1.1)",
    (t, port) => {
      const call = new WebCall(t, port, "1.1");
      call.send(message()).end();
      return () => call.leave();
    },
  ],
];
for (const [who, ask] of clients) {
  test(
    `a client that waits for a stream and ${who} leaves the queue at once`,
    { timeout: 10_000 },
    async (t) => {
      const worker = await Holding.start(t, 1);
      const admin = await freePort();
      const { port, logged } = await testEdge(t, {
        GRPC_UPSTREAMS: worker.address,
        LIMIT_UPSTREAM_CONNECTIONS: "1",
        ADMIN_PORT: String(admin),
      });
      const session = http2Client(t, port);
      const first = h2(session, GRPC, message());
      await worker.call(0);
      const leave = ask(t, port);
      await untilActive(admin, 2);
      leave();
      await logged(({ outcome }) => outcome === "client_gone");
      await untilActive(admin, 1);

      await worker.answer(0);
      assert.equal((await first).headers["grpc-status"], "0");
      const next = h2(session, { ...GRPC, ":path": "/Echo/Next" }, message());
      await worker.answer(1);
      assert.equal((await next).headers["grpc-status"], "0");
      assert.deepEqual(worker.paths, [GRPC[":path"], "/Echo/Next"]);
    },
  );
}

test("a call whose deadline passes while it waits for a stream leaves the queue", async (t) => {
  const worker = await Holding.start(t, 1);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.address, LIMIT_UPSTREAM_CONNECTIONS: "1" });
  const session = http2Client(t, port);
  const first = h2(session, GRPC, message());
  await worker.call(0);
  const { headers } = await h2(session, { ...GRPC, "grpc-timeout": "50m" }, message());
  assert.equal(headers["grpc-status"], "4");
  await worker.answer(0);
  assert.equal((await first).headers["grpc-status"], "0");
  assert.deepEqual(worker.paths, [GRPC[":path"]]);
});
