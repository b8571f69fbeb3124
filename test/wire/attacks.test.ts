// Each attack is carried out, on a real connection: it ends with ENHANCE_YOUR_CALM (11), a refusal or a clean end, and
// another client is served all the while.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { Decoder } from "../../edge/http2/hpack/decoder.ts";
import { under } from "../support/attacks.ts";
import { FLOODS, GRPC, times } from "../support/floods.ts";
import { h2, http2Client } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { END_HEADERS, END_STREAM, FrameClient, PREFACE, fields, frame, headers } from "../support/frames.ts";
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
      client.send(block(3));
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
  client.socket.resume();
  assert.equal(await client.ended, "closed");
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

test("a head that comes in ever more CONTINUATION frames has its time from its first byte on", async (t) => {
  const outcome = await under(
    t,
    (client) => {
      beginBlock(client);
      const drip = setInterval(() => client.send(frame("CONTINUATION", 0, 1, fields(["x", "y"]))), 50);
      t.after(() => clearInterval(drip));
    },
    { LIMIT_HEAD_MS: "500", LIMIT_CONTINUATIONS: "1000" },
  );
  assert.deepEqual(outcome, { end: "GOAWAY 11", limits: ["head_time"] });
});

/** Sends bytes one by one, and never comes to their end. */
function dribble(t: TestContext, client: FrameClient, bytes: Buffer): void {
  let at = 0;
  const drip = setInterval(() => {
    if (at < bytes.length - 1) client.send(bytes.subarray(at, ++at));
  }, 20);
  t.after(() => clearInterval(drip));
}

test("a HEADERS frame that comes byte by byte (Slowloris) is given up in time", async (t) => {
  const outcome = await under(
    t,
    (client) => void client.settled.then(() => dribble(t, client, headers(1, "GET", `/${"x".repeat(500)}`))),
    { LIMIT_HEAD_MS: "500" },
  );
  assert.deepEqual(outcome, { end: "GOAWAY 11", limits: ["head_time"] });
});

test("a body may come byte by byte for longer than a head may", async (t) => {
  const worker = await httpWorker(t, (req, res) => void req.resume().on("end", () => res.end("ok")));
  const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_HEAD_MS: "200" });
  const client = new FrameClient(t, port);
  client.open(headers(1, "POST", "/", [], false));
  await client.settled;
  const body = frame("DATA", END_STREAM, 1, Buffer.alloc(40));
  for (const [at, byte] of body.entries()) setTimeout(() => client.send(Buffer.from([byte])), at * 15);
  await client.until(/DATA 1 2 END_STREAM/);
  assert.deepEqual(
    lines.flatMap(({ limit }) => limit ?? []),
    [],
  );
});

test("heads that are always cut by the end of a read have their time each", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_HEAD_MS: "500" });
  const client = new FrameClient(t, port);
  client.open();
  await client.settled;
  const all = times(20, (i) => headers(2 * i + 1, "GET", "/"));
  const one = all.length / 20;
  for (let i = 0; i < 20; i++) {
    // The end of one head and the beginning of the next.
    const from = i === 0 ? 0 : i * one - one / 2;
    const piece = all.subarray(from, i === 19 ? all.length : (i + 0.5) * one);
    setTimeout(() => client.send(piece), i * 50);
  }
  await client.until(/ 39.*END_STREAM/);
  assert.deepEqual(
    lines.flatMap(({ limit }) => limit ?? []),
    [],
  );
});

const unsettled: [why: string, first: Buffer][] = [
  ["sends no SETTINGS", PREFACE],
  [
    "does not acknowledge ours, while it waits for a reply",
    Buffer.concat([PREFACE, frame("SETTINGS", 0, 0), headers(1, "GET", "/")]),
  ],
];
for (const [why, first] of unsettled) {
  test(`a client that ${why} is given up in time: SETTINGS_TIMEOUT (RFC 9113, section 6.5.3)`, async (t) => {
    const worker = await httpWorker(t, () => {});
    const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_HEAD_MS: "200" });
    const client = new FrameClient(t, port);
    client.socket.write(first);
    assert.equal(await client.ended, "GOAWAY 4");
    assert.deepEqual(
      lines.flatMap(({ limit }) => limit ?? []),
      ["head_time"],
    );
  });
}

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
  const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  const heads: unknown[] = [];
  const decoder = new Decoder(4096, 65_536);
  const reader = new FrameReader(16_384, (bytes, { type, start, end }) => {
    if (type === 1) heads.push(decoder.decode(bytes, start, end).fields.slice(0, 2));
  });
  client.socket.on("data", (bytes: Buffer) => reader.push(bytes));
  client.open(bomb());
  await client.until(/END_STREAM/);
  assert.deepEqual(heads, [[":status", "431"]]);
  assert.deepEqual(
    lines.flatMap(({ limit }) => limit ?? []),
    ["head_bytes"],
  );
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
  // 600 of 64 KiB are more than the connection's window, 32 MiB: what is stuck must be given back to that all the same.
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_STREAMS: "1000" });
  const session = http2Client(t, port);
  for (let i = 0; i < 600; i++) {
    const stuck = session.request({ ":method": "POST", ":path": "/stuck" });
    stuck.on("error", () => {});
    stuck.write(Buffer.alloc(65_536));
  }
  for (let i = 0; i < 20; i++) {
    const reply = await h2(session, { ":method": "POST", ":path": "/read" }, Buffer.alloc(500_000));
    assert.equal(reply.body.toString(), "ok");
  }
});

test("a connection that does nothing is ended, gracefully", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port, lines } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_IDLE_MS: "1000" });
  const client = new FrameClient(t, port);
  client.open(headers(1, "GET", "/"));
  await client.until(/ 1.*END_STREAM/);
  assert.equal(await client.ended, "GOAWAY 0");
  assert.deepEqual(
    lines.flatMap(({ limit }) => limit ?? []),
    ["idle"],
  );
});
