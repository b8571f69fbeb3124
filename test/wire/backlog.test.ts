// A peer that is behind with its reading: it may still ask, but not without end, and its connection does not stay for ever.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import { Allowance } from "../../edge/http2/allowance.ts";
import { Connection } from "../../edge/http2/connection.ts";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { readConfig } from "../../edge/settings/config.ts";
import { times } from "../support/floods.ts";
import { fields, frame } from "../support/frames.ts";
import { pair } from "../support/pair.ts";

const WINDOW = 0x7f_00_00_00;
const PING = frame("PING", 0, 0, Buffer.from("are you?"));

/** A connection in this role with two megabytes under way to a peer that reads nothing of it. */
async function behind(
  t: TestContext,
  role: "server" | "client",
): Promise<{ connection: Connection; edge: Socket; peer: Socket; says: (bytes: Buffer) => Promise<void> }> {
  const { edge, client: peer } = await pair(t);
  const connection = new Connection(edge, {
    role,
    streamWindow: 65_535,
    connectionWindow: 65_535,
    maxStreams: 10,
    maxHeadBytes: 65_536,
    connectProtocol: false,
    ...(role === "client" ? { allowance: new Allowance() } : {}),
    limits: readConfig({ LIMIT_HEAD_MS: "300" }),
    exceeded: () => {},
    abortedBy: () => new EdgeError("upstream_reset"),
    onRequest(stream) {
      stream.sendHead([":status", "200"], [], false);
      stream.write(Buffer.alloc(2_000_000));
    },
  });
  const says = async (bytes: Buffer): Promise<void> => {
    const heard = once(edge, "data");
    peer.write(bytes);
    await heard;
  };
  edge.on("data", (bytes: Buffer) => connection.receive(bytes));
  const window = Buffer.from([0, 4, 0, 0, 0, 0]);
  window.writeUInt32BE(WINDOW, 2);
  const more = Buffer.alloc(4);
  more.writeUInt32BE(WINDOW);
  await says(
    Buffer.concat([
      frame("SETTINGS", 0, 0, window),
      frame("SETTINGS", 1, 0),
      frame("WINDOW_UPDATE", 0, 0, more),
    ]),
  );
  const request = [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"];
  if (role === "client") connection.open(request, [], []).write(Buffer.alloc(2_000_000));
  else {
    const pairs = request.flatMap((name, at): [string, string][] =>
      at % 2 === 0 ? [[name, request[at + 1] ?? ""]] : [],
    );
    await says(frame("HEADERS", 5, 1, fields(...pairs)));
  }
  assert.ok(connection.writer.isFull);
  return { connection, edge, peer, says };
}

for (const role of ["server", "client"] as const) {
  test(`a PING of who is behind is answered once it reads (as ${role})`, async (t) => {
    const { connection, peer, says } = await behind(t, role);
    await says(PING);
    assert.equal(connection.isDead, false);
    const answered = Promise.withResolvers<void>();
    const reader = new FrameReader(16_384, (bytes, { type, flags, start, end }) => {
      if (type === 6 && flags === 1 && bytes.toString("latin1", start, end) === "are you?")
        answered.resolve();
      assert.notEqual(type, 7);
    });
    peer.on("data", (bytes: Buffer) => reader.push(bytes));
    await answered.promise;
  });

  test(`PINGs without end of who does not read end the connection (as ${role})`, async (t) => {
    const { connection, says } = await behind(t, role);
    await says(times(90, () => PING));
    assert.equal(connection.isDead, false);
    await says(times(20, () => PING));
    assert.equal(connection.isDead, true);
  });
}

test("a worker that breaks the rules and does not read loses its connection in time", async (t) => {
  const { edge, says } = await behind(t, "client");
  const closed = once(edge, "close");
  await says(frame("PING", 0, 0, "short"));
  await closed;
  assert.ok(edge.destroyed);
});
