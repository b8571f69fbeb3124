// Each attack is carried out, on a real connection: it ends with ENHANCE_YOUR_CALM (11), a refusal or a clean end, and
// another client is served all the while.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { under } from "../support/attacks.ts";
import { FLOODS, GRPC, times } from "../support/floods.ts";
import { h2, http2Client } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { END_HEADERS, END_STREAM, FrameClient, fields, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker } from "../support/workers.ts";

for (const [why, limit, frames] of FLOODS) {
  test(`${why} ends in ENHANCE_YOUR_CALM`, async (t) => {
    const outcome = await under(t, (client) => client.send(frames()));
    assert.deepEqual(outcome, { end: "GOAWAY 11", limits: [limit] });
  });
}

const settings: [setting: string, value: number, limit: string, one: (i: number) => Buffer][] = [
  ["LIMIT_RESETS", 10, "resets", (i) => frame("HEADERS", 5, 2 * i + 1, fields(["Upper", "x"]))],
  ["LIMIT_PINGS", 10, "answers", () => frame("PING", 0, 0, Buffer.alloc(8))],
  ["LIMIT_EMPTY_FRAMES", 10, "empty", () => frame("PRIORITY", 0, 1, Buffer.from([0, 0, 0, 0, 16]))],
  ["LIMIT_WINDOW_UPDATES", 100, "updates", () => frame("WINDOW_UPDATE", 0, 0, Buffer.from([0, 0, 0, 1]))],
];
for (const [setting, value, limit, one] of settings) {
  test(`${setting}=${value}: so many pass, and a few more do not`, async (t) => {
    const env = { [setting]: String(value) };
    // Two of the answers go to SETTINGS and its ACK.
    const within = times(value - 2, one);
    const { end, limits } = await under(
      t,
      (client) => void client.settled.then(() => client.socket.end(within)),
      env,
    );
    assert.deepEqual([end, limits], ["closed", []]);
    assert.deepEqual(await under(t, (client) => client.send(times(value + 20, one)), env), {
      end: "GOAWAY 11",
      limits: [limit],
    });
  });
}

/** A request in so many CONTINUATION frames. */
const block = (count: number): Buffer =>
  Buffer.concat([
    frame("HEADERS", END_STREAM, 1, fields([":method", "GET"], [":scheme", "http"], [":path", "/"])),
    times(count - 1, (i) => frame("CONTINUATION", 0, 1, fields([`x-${i}`, "y"]))),
    frame("CONTINUATION", END_HEADERS, 1, fields(["x-last", "y"])),
  ]);

test("LIMIT_CONTINUATIONS=3: three pass, four do not", async (t) => {
  const env = { LIMIT_CONTINUATIONS: "3" };
  const served = await under(
    t,
    (client) => {
      client.send(block(2));
      void client.until(/END_STREAM/).then(() => client.socket.end());
    },
    env,
  );
  assert.deepEqual(served, { end: "closed", limits: [] });
  const refused = await under(t, (client) => client.send(block(4)), env);
  assert.deepEqual(refused, { end: "GOAWAY 11", limits: ["continuations"] });
});

/** An edge whose worker has a megabyte to send, and a client that has asked for it with this window a stream. */
async function asking(
  t: TestContext,
  window: number,
  env: Record<string, string>,
): Promise<{ client: FrameClient; edge: TestEdge }> {
  const worker = await httpWorker(t, (_req, res) => void res.end(Buffer.alloc(1_000_000)));
  const edge = await testEdge(t, { HTTP_UPSTREAMS: worker, ...env });
  const client = new FrameClient(t, edge.port);
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(4, 0);
  setting.writeUInt32BE(window, 2);
  client.open(frame("SETTINGS", 0, 0, setting), headers(1, "GET", "/"));
  return { client, edge };
}

test("a window that is never opened: the stream ends with ENHANCE_YOUR_CALM, the connection goes on", async (t) => {
  const { client, edge } = await asking(t, 0, { LIMIT_STALL_MS: "200" });
  await client.until(/^RST_STREAM 1 11$/);
  assert.ok(edge.lines.some(({ limit }) => limit === "stall"));
  client.send(headers(3, "HEAD", "/"));
  await client.until(/HEADERS 3 END_STREAM/);
});

test("a window that is opened by the byte (CVE-2019-9511) is no better", async (t) => {
  const { client } = await asking(t, 1, { LIMIT_STALL_MS: "200" });
  const drip = setInterval(() => client.send(frame("WINDOW_UPDATE", 0, 1, Buffer.from([0, 0, 0, 1]))), 10);
  t.after(() => clearInterval(drip));
  await client.until(/^RST_STREAM 1 11$/);
});

test("a slow reader that takes a kilobyte in time is served to the end", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end(Buffer.alloc(20_000)));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_STALL_MS: "200" });
  const client = new FrameClient(t, port);
  const setting = Buffer.from([0, 4, 0, 0, 0, 0]);
  client.open(frame("SETTINGS", 0, 0, setting), headers(1, "GET", "/"));
  const slowly = setInterval(() => client.send(frame("WINDOW_UPDATE", 0, 1, Buffer.from([0, 0, 8, 0]))), 60);
  t.after(() => clearInterval(slowly));
  await client.until(/END_STREAM/);
});

test("a client that reads nothing at all loses its connection", async (t) => {
  const { client, edge } = await asking(t, 16_000_000, { LIMIT_STALL_MS: "200" });
  await client.until(/DATA 1/);
  client.socket.pause();
  // Enough of it to fill what the kernel holds for a socket that is not read.
  for (let id = 3; id < 43; id += 2) client.send(headers(id, "GET", "/"));
  client.send(frame("WINDOW_UPDATE", 0, 0, Buffer.from([0x3f, 0, 0, 0])));
  await edge.logged(({ limit }) => limit === "stall");
});

test("a client that vanished without a word is noticed by a PING that stays unanswered", async (t) => {
  const grpc = await http2Worker(t, () => {});
  const env = { GRPC_UPSTREAMS: grpc, LIMIT_QUIET_MS: "200", LIMIT_HEAD_MS: "200" };
  const { port, lines } = await testEdge(t, env);
  const client = new FrameClient(t, port);
  client.open(headers(1, "POST", "/x", GRPC, false));
  assert.equal(await client.ended, "closed");
  assert.ok(lines.some(({ limit }) => limit === "quiet"));
});

test("a client that is silent and answers the PING is left alone", async (t) => {
  const grpc = await http2Worker(t, (stream) => {
    setTimeout(() => stream.respond({ ":status": 200, "content-type": "application/grpc" }), 900);
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: grpc, LIMIT_QUIET_MS: "200", LIMIT_HEAD_MS: "200" });
  const stream = http2Client(t, port).request({
    ":method": "POST",
    ":path": "/x",
    "content-type": "application/grpc",
  });
  const [head] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.equal(head[":status"], 200);
  stream.close();
});

/** Begins a header block. Once SETTINGS have gone both ways nothing of the client's own comes between its frames. */
function beginBlock(client: FrameClient): void {
  void client.settled.then(() => client.send(frame("HEADERS", 0, 1, fields([":method", "GET"]))));
}

test("a header block that does not end is given up in time", async (t) => {
  const outcome = await under(t, beginBlock, { LIMIT_HEAD_MS: "200" });
  assert.deepEqual(outcome, { end: "GOAWAY 11", limits: ["head_time"] });
});

test("a client that sends no SETTINGS is given up in time: SETTINGS_TIMEOUT", async (t) => {
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: await httpWorker(t, () => {}), LIMIT_HEAD_MS: "200" });
  const client = new FrameClient(t, port);
  client.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert.equal(await client.ended, "GOAWAY 4");
});

/** Entries that are put into the table once and then named by a byte: 1 KB of frames stands for megabytes. */
function bomb(): Buffer {
  const value = "v".repeat(3900);
  const first = Buffer.concat([
    fields([":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "a"]),
    Buffer.from([0x40, 1, 0x78, 0x7f]),
    Buffer.from([((3900 - 127) & 0x7f) | 0x80, (3900 - 127) >> 7]),
    Buffer.from(value),
  ]);
  return frame("HEADERS", END_HEADERS | END_STREAM, 1, Buffer.concat([first, Buffer.alloc(10_000, 0xbe)]));
}

test("an HPACK bomb is a 431, and no memory", async (t) => {
  const before = process.memoryUsage().heapUsed;
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(bomb());
  await client.until(/END_STREAM/);
  client.send(headers(3, "GET", "/"));
  await client.until(/(DATA|HEADERS) 3.*END_STREAM/);
  assert.ok(process.memoryUsage().heapUsed - before < 50_000_000);
});

test("an upload that its worker does not read: 64 KiB wait in the edge, as much in the worker, and no more may come", async (t) => {
  const worker = await http2Worker(t, () => {});
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(headers(1, "POST", "/x", GRPC, false));
  client.send(times(10, () => frame("DATA", 0, 1, Buffer.alloc(16_384))));
  // FLOW_CONTROL_ERROR.
  await client.until(/^RST_STREAM 1 3$/);
});

test("streams beyond the limit are refused, those within it are not", async (t) => {
  const grpc = await http2Worker(t, () => {});
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: grpc, LIMIT_STREAMS: "10" });
  const client = new FrameClient(t, port);
  client.open(times(12, (i) => headers(2 * i + 1, "POST", "/x", GRPC, false)));
  await client.until(/RST_STREAM 23 7/);
  assert.deepEqual(
    client.frames.filter((text) => text.startsWith("RST")),
    ["RST_STREAM 21 7", "RST_STREAM 23 7"],
  );
});

test("a stream that nobody reads does not starve the others on its connection", async (t) => {
  const worker = await httpWorker(
    t,
    (req, res) =>
      void (req.url === "/stuck" ? req.pause() : (req.resume(), req.on("end", () => res.end("ok")))),
  );
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const session = http2Client(t, port);
  for (let i = 0; i < 20; i++) {
    const stuck = session.request({ ":method": "POST", ":path": "/stuck" });
    stuck.on("error", () => {});
    stuck.write(Buffer.alloc(1_000_000));
  }
  for (let i = 0; i < 20; i++) {
    const reply = await h2(session, { ":method": "POST", ":path": "/read" }, Buffer.alloc(500_000));
    assert.equal(reply.body.toString(), "ok");
  }
});

test("a connection that does nothing is ended, gracefully", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_IDLE_MS: "1000" });
  const client = new FrameClient(t, port);
  client.open(headers(1, "GET", "/"));
  await client.until(/ 1.*END_STREAM/);
  assert.equal(await client.ended, "GOAWAY 0");
});
