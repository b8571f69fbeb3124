// What other clients lose when some never read, dribble, vanish or come in thousands, and when files run out.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { RawClient, http2Client } from "../support/clients.ts";
import { mostFiles, withFiles } from "../support/files.ts";
import { FrameClient, PREFACE, headers } from "../support/frames.ts";
import { flood } from "../support/hostile-worker.ts";
import { pause } from "../support/load.ts";
import type { Program } from "../support/processes.ts";
import { runScript } from "../support/processes.ts";
import { scenario } from "../support/scenarios.ts";
import { edgeAlone } from "../support/stages.ts";
import { HANDSHAKE, openWebSocket } from "../support/websockets.ts";

const GET = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
const MUCH = "/download?bytes=100000000";
const FOREVER = "/events?count=100000&interval_ms=10";

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** A connection that sends something and never reads. */
function deaf(t: TestContext, port: number, text: string): Socket {
  const socket = connect(port, "127.0.0.1").pause();
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  socket.write(text);
  return socket;
}

/** A masked binary message of 60,000 bytes (0xea60), which a worker sends back. */
const ECHO = Buffer.concat([Buffer.from([0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0]), Buffer.alloc(60_000)]);

scenario({
  name: "60 clients never read: downloads and WebSocket echoes",
  stage: (t) => edgeAlone(t, { LIMIT_STALL_MS: "1000" }),
  act: async ({ port }, t) => {
    for (let i = 0; i < 20; i++) {
      deaf(t, port, `GET ${MUCH} HTTP/1.1\r\nHost: a\r\n\r\n`);
      // Frames are read here, but no window is opened.
      new FrameClient(t, port).open(headers(1, "GET", MUCH));
      flood(deaf(t, port, ""), `${HANDSHAKE}\r\n`, ECHO);
    }
    await pause(3000);
  },
  expected: { may: {}, wellMs: 500, peakMiB: 350 },
});

scenario({
  name: "300 clients send a byte a second: heads, prefaces and bodies",
  stage: (t) => edgeAlone(t, { LIMIT_HEAD_MS: "1000" }),
  act: async ({ port }, t) => {
    const heads = times(100, () => new RawClient(t, port));
    const prefaces = times(100, () => new RawClient(t, port));
    const bodies = times(100, () => new RawClient(t, port));
    for (const client of bodies)
      client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    for (let second = 0; second < 3; second++) {
      for (const client of heads) client.send(GET[second] ?? "");
      for (const client of prefaces) client.send(PREFACE.toString("latin1")[second] ?? "");
      for (const client of bodies) client.send("x");
      await pause(1000);
    }
    // A head has its time. A body may be as slow as it likes: its sender is not told from one far away.
    await Promise.all([...heads, ...prefaces].map(({ closed }) => closed));
    assert.ok(bodies.every(({ text, socket }) => text === "" && !socket.destroyed));
    for (const { socket } of bodies) socket.destroy();
  },
  expected: { may: {}, wellMs: 500, peakMiB: 200 },
});

scenario({
  name: "300 clients vanish at once, in the middle of everything, three times",
  stage: (t) => edgeAlone(t),
  act: async ({ port }, t) => {
    for (let round = 0; round < 3; round++) {
      const raw = times(100, (index) =>
        deaf(t, port, `GET ${index % 2 === 0 ? MUCH : FOREVER} HTTP/1.1\r\nHost: a\r\n\r\n`),
      );
      const sessions = times(100, () => http2Client(t, port));
      for (const session of sessions) session.request({ ":path": FOREVER }).on("error", () => {});
      const sockets = times(100, () => openWebSocket(t, port));
      await Promise.all(sockets.map((socket) => once(socket, "open")));
      await Promise.all(raw.map((socket) => once(socket, "readable")));
      for (const socket of raw) socket.resetAndDestroy();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.terminate();
    }
  },
  expected: { may: {}, wellMs: 500, peakMiB: 350 },
});

scenario({
  name: "50 HTTP/2 clients vanish without a word: no answer to a PING",
  stage: (t) => edgeAlone(t, { LIMIT_QUIET_MS: "500", LIMIT_HEAD_MS: "500" }),
  act: async ({ port }, t) => {
    const clients = times(50, () => new FrameClient(t, port));
    for (const client of clients) client.open(headers(1, "GET", "/slow?ms=60000"));
    await Promise.all(clients.map(({ ended }) => ended));
  },
  expected: { may: {}, wellMs: 500, peakMiB: 200 },
});

/** What a crowd has said last. */
async function reported(crowd: Program): Promise<{ good: number; open: number }> {
  const [line] = await crowd.says(/\{"good".*\}/);
  crowd.out = "";
  return JSON.parse(line) as { good: number; open: number };
}

/** Connections that two processes on each side can have here, 500 files each left for all else. */
const CROWD = Math.min(20_000, 2 * (mostFiles() - 500));

scenario({
  name: `${CROWD} connections, each with a request, held, and each with another`,
  stage: (t) => edgeAlone(t, { EDGE_PROCESSES: "2", LIMIT_CONNECTIONS: String(CROWD / 2 + 200) }),
  act: async ({ port }, t) => {
    const crowds = times(2, (index) =>
      runScript(t, "test/support/crowd.ts", [String(port), String(CROWD / 2), `127.0.0.${index + 2}`]),
    );
    const all = { good: CROWD / 2, open: CROWD / 2 };
    for (const crowd of crowds) assert.deepEqual(await reported(crowd), all);
    for (const crowd of crowds) crowd.child.stdin?.write("again\n");
    for (const crowd of crowds) assert.deepEqual(await reported(crowd), all);
    for (const crowd of crowds) crowd.child.stdin?.end();
    await Promise.all(crowds.map(({ exited }) => exited));
  },
  // The pages that three processes share are counted three times: 300 MiB without a connection.
  expected: { may: {}, wellMs: 1000, peakMiB: 900 },
});

/** So many clients that stay: how many of them were served, and how many had any answer. */
async function fill(
  t: TestContext,
  port: number,
  count: number,
): Promise<{ served: number; answered: number }> {
  const clients = times(count, () => new RawClient(t, port));
  for (const client of clients) client.send(GET);
  await pause(2000);
  const served = clients.filter(({ text }) => text.includes("pong")).length;
  const answered = clients.filter(({ text }) => text !== "").length;
  for (const { socket } of clients) socket.destroy();
  return { served, answered };
}

scenario({
  name: "400 clients, 200 files: as many as LIMIT_CONNECTIONS comes to, the rest is closed at once",
  stage: (t) => edgeAlone(t, {}, (path, settings) => withFiles(t, 200, path, settings)),
  act: async ({ port }, t) => {
    const { served, answered } = await fill(t, port, 400);
    assert.ok(
      served > 30 && served <= 68 && answered === served,
      `${served} were served, ${answered} answered`,
    );
  },
  // Who is connected loses nothing; who comes then, as the load's WebSockets do, is closed.
  expected: { may: { websocket: ["cut"] }, felt: ["websocket"], wellMs: 500, peakMiB: 200 },
});

scenario({
  name: "400 clients, 200 files, LIMIT_CONNECTIONS=1000: no file is left at all",
  stage: (t) =>
    edgeAlone(t, { LIMIT_CONNECTIONS: "1000" }, (path, settings) => withFiles(t, 200, path, settings)),
  act: async ({ port }, t) => {
    const { answered } = await fill(t, port, 400);
    assert.ok(answered > 68, `${answered} were answered`);
  },
  expected: {
    may: { http1: ["503", "cut"], http2: ["503"], websocket: ["cut", "503"] },
    felt: ["websocket"],
    wellMs: 500,
    peakMiB: 200,
  },
});
