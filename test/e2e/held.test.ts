// Clients and workers that take nothing: beyond LIMIT_HELD_MIB the connections that hold most are ended, and nobody else's.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { RawClient, h2, http2Client } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import type { ReadMetrics } from "../support/prometheus.ts";
import { parseMetrics } from "../support/prometheus.ts";
import { HANDSHAKE } from "../support/websockets.ts";
import { accepting, flood, hostileWorker } from "../support/hostile-worker.ts";
import { FrameClient, fields, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

const MIB = 1_048_576;
const PIECE = Buffer.alloc(64 * 1024, 1);

/** ENHANCE_YOUR_CALM. */
const CALM = 11;

/** A worker that never reads what /stuck is sent, and answers everything else. */
function stuckWorker(t: TestContext): Promise<string> {
  return http2Worker(t, (stream, { ":path": path }) => {
    // Whatever one call leaves unread, the others go on.
    stream.session?.setLocalWindowSize(2 ** 30);
    if (path === "/stuck") return;
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end();
  });
}

const CALL = { ":method": "POST", "content-type": "application/grpc" };

/** Opens so many uploads, each of which would be a megabyte. */
function upload(session: ClientHttp2Session, count: number): ClientHttp2Stream[] {
  return Array.from({ length: count }, () => {
    const stream = session.request({ ...CALL, ":path": "/stuck" });
    stream.on("error", () => {});
    stream.write(Buffer.alloc(MIB));
    return stream;
  });
}

function greedy(t: TestContext, port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  t.after(() => session.destroy());
  return session;
}

/** Resolves with the line that says that connections were ended. */
function tooMuch({ logged }: TestEdge): Promise<Record<string, unknown>> {
  return logged(({ limit, ended }) => limit === "held" && ended !== undefined);
}

test("uploads that a gRPC worker never reads: who holds most hears ENHANCE_YOUR_CALM, the others go on", async (t) => {
  const admin = await freePort();
  const edge = await testEdge(t, {
    GRPC_UPSTREAMS: await stuckWorker(t),
    LIMIT_HELD_MIB: "8",
    ADMIN_PORT: String(admin),
  });
  const other = http2Client(t, edge.port);
  const modest = http2Client(t, edge.port);
  const [small] = upload(modest, 1);
  const sessions = Array.from({ length: 6 }, () => greedy(t, edge.port));
  const ends = sessions.map(async (session) => ((await once(session, "goaway")) as [number])[0]);
  for (const session of sessions) upload(session, 60);

  const line = await tooMuch(edge);
  assert.match(String(line["message"]), /LIMIT_HELD_MIB/);
  assert.ok(Number(line["held"]) > 8 * MIB && Number(line["left"]) <= 6 * MIB, JSON.stringify(line));
  // One that is sending may be reset before it has read why.
  assert.equal(await Promise.any(ends), CALM);
  for (let i = 0; i < 20; i++)
    assert.equal((await h2(other, { ...CALL, ":path": "/ok" })).trailers["grpc-status"], "0");
  assert.equal((await h2(modest, { ...CALL, ":path": "/ok" })).trailers["grpc-status"], "0");

  const read = async (): Promise<ReadMetrics> =>
    parseMetrics(await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text());
  // What still comes on the connections that are left may go beyond it again, until the next look.
  let metrics = await read();
  while (metrics.value("oneport_held_bytes") > 8 * MIB) metrics = await read();
  assert.ok(metrics.value("oneport_held_bytes") > 64 * 1024);
  const counted = metrics.value("oneport_limit_exceeded_total", { limit: "held" });
  assert.ok(counted >= 1 && counted <= 6, `${counted} connections were ended`);
  assert.ok(!modest.destroyed && small?.closed === false);
});

/** A large head on the stream of this number; another one on each, so that none is remembered in place of many. */
function largeHead(at: number): Buffer {
  return headers(2 * at + 1, "GET", `/${at}`, [["x-large", `${at}-`.repeat(4000)]]);
}

/** As large, but all of it path. */
function largePath(at: number): Buffer {
  return headers(2 * at + 1, "GET", `/${`${at}-`.repeat(4000)}`);
}

/** A call whose trailers are as large. */
function largeTrailers(at: number): Buffer {
  const call = headers(2 * at + 1, "POST", "/stuck", [["content-type", "application/grpc"]], false);
  const block = fields(["x-large", `${at}-`.repeat(4000)]);
  return Buffer.concat([call, frame("HEADERS", 5, 2 * at + 1, block)]);
}

for (const [what, one] of [
  ["large heads", largeHead],
  ["large paths", largePath],
  ["large trailers", largeTrailers],
] as const) {
  test(`${what} of requests that nobody answers count as well`, async (t) => {
    const worker = await rawWorker(t, () => {});
    const edge = await testEdge(t, {
      HTTP_UPSTREAMS: worker,
      GRPC_UPSTREAMS: await stuckWorker(t),
      LIMIT_HELD_MIB: "4",
    });
    const clients = Array.from({ length: 4 }, () => new FrameClient(t, edge.port));
    for (const client of clients) client.open(...Array.from({ length: 120 }, (_, at) => one(at)));
    await tooMuch(edge);
    assert.equal(await Promise.any(clients.map(({ ended }) => ended)), `GOAWAY ${CALM}`);
  });
}

/** A worker whose replies never end. */
function endlessWorker(t: TestContext): Promise<string> {
  return httpWorker(t, (req, res) => {
    if (req.url !== "/endless") return void res.end("ok");
    const more = (): void => {
      while (!res.destroyed && res.write(PIECE));
    };
    res.on("drain", more);
    more();
  });
}

/** Resolves once a connection is over, however it ends; what was read of it until then is thrown away. */
function over(socket: Socket): Promise<unknown> {
  socket.on("error", () => {});
  return new Promise((resolve) => socket.once("close", resolve));
}

test("replies that HTTP/2 clients do not read: they lose their connections, who reads goes on", async (t) => {
  const edge = await testEdge(t, { HTTP_UPSTREAMS: await endlessWorker(t), LIMIT_HELD_MIB: "8" });
  const reader = http2Client(t, edge.port).request({ ":path": "/endless" });
  const wide = Buffer.from([0, 4, 0x7f, 0, 0, 0]);
  for (let i = 0; i < 8; i++) {
    const client = new FrameClient(t, edge.port);
    client.open(
      frame("SETTINGS", 0, 0, wide),
      frame("WINDOW_UPDATE", 0, 0, Buffer.from([0x7f, 0, 0, 0])),
      ...Array.from({ length: 20 }, (_, at) => headers(2 * at + 1, "GET", "/endless")),
    );
    client.socket.pause();
  }
  await tooMuch(edge);
  for (let read = 0; read < 8 * MIB;) read += ((await once(reader, "data")) as [Buffer])[0].length;
  assert.equal(reader.closed, false);
  assert.equal((await h2(http2Client(t, edge.port), { ":path": "/" })).body.toString(), "ok");
});

test("replies that HTTP/1.1 clients do not read: reset, so that none looks whole", async (t) => {
  const edge = await testEdge(t, { HTTP_UPSTREAMS: await endlessWorker(t), LIMIT_HELD_MIB: "4" });
  // To HTTP/1.0 the end of the connection is the end of the reply.
  const ask = "GET /endless HTTP/1.0\r\nHost: a\r\n\r\n";
  const reader = new RawClient(t, edge.port);
  reader.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
  const deaf = Array.from({ length: 40 }, () => {
    const socket = connect(edge.port, "127.0.0.1").pause();
    t.after(() => socket.destroy());
    socket.write(ask);
    return socket;
  });
  const ends = deaf.map(async (socket) => {
    let ended = false;
    socket.on("end", () => (ended = true));
    await over(socket);
    return ended ? "end" : "reset";
  });
  const { ended } = await tooMuch(edge);
  assert.ok(Number(ended) >= 1 && Number(ended) < 40, `${String(ended)} were ended`);
  for (const socket of deaf) socket.resume();
  assert.equal(await Promise.race(ends), "reset");
  await once(reader.socket, "data");
  assert.equal(reader.socket.destroyed, false);
});

/** An edge whose WebSocket worker reads nothing, and clients that send it as much as they can. */
async function deafWorker(t: TestContext): Promise<{ edge: TestEdge; clients: Socket[] }> {
  const port = await hostileWorker(t, {
    http() {},
    grpc() {},
    websocket: (socket, key) => void socket.pause().write(accepting(key)),
  });
  const edge = await testEdge(t, { WS_UPSTREAMS: `http://127.0.0.1:${port}`, LIMIT_HELD_MIB: "4" });
  const clients = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const socket = connect(edge.port, "127.0.0.1");
      t.after(() => socket.destroy());
      socket.on("error", () => {});
      flood(socket, `${HANDSHAKE}\r\n`, PIECE);
      await once(socket, "data");
      return socket;
    }),
  );
  return { edge, clients };
}

test("what a WebSocket worker does not read: the clients that sent it lose their connections", async (t) => {
  const { edge, clients } = await deafWorker(t);
  await Promise.all([tooMuch(edge), Promise.race(clients.map(over))]);
});
