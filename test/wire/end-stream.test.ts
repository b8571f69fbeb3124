// A reply's end goes into the last DATA frame, if that is still there to be changed. What has left is not, and what lies in
// its place by then is another frame, which must not be touched.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Exchange } from "../../edge/exchange.ts";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { FrameClient, frame, headers } from "../support/frames.ts";
import { answer, serve } from "../support/http1-server.ts";

const TYPES: Record<number, string> = { 0: "DATA", 1: "HEADERS", 4: "SETTINGS", 6: "PING" };

/** All frames that come, in words: type, stream, length, flags. */
function listen(client: FrameClient): string[] {
  const seen: string[] = [];
  const reader = new FrameReader(16_384, (_bytes, { type, stream, start, end, flags }) =>
    seen.push(`${TYPES[type] ?? type} ${stream} ${end - start} ${flags}`),
  );
  client.socket.on("data", (bytes: Buffer) => reader.push(bytes));
  return seen;
}

const BETWEEN: [what: string, sent: Buffer, answered: string[], first: (other: Exchange) => void][] = [
  ["the answer to a PING", frame("PING", 0, 0, Buffer.alloc(8)), ["PING 0 8 1"], () => {}],
  ["the answer to SETTINGS", frame("SETTINGS", 0, 0), ["SETTINGS 0 0 1"], () => {}],
  ["another reply's head", Buffer.alloc(0), ["HEADERS 3 1 4"], (other) => other.respond(200, [], false)],
];

for (const [what, sent, answered, first] of BETWEEN) {
  test(`a reply that ends behind ${what}, when its DATA has left, ends by a frame of its own`, async (t) => {
    const { port, exchange } = await serve(t);
    const client = new FrameClient(t, port);
    const seen = listen(client);
    client.open(headers(1, "GET", "/first"));
    const reply = await exchange(0);
    reply.respond(200, [], false);
    await client.until(/^HEADERS 1$/);
    // In a turn of its own: it lies where the next turn's first frame will.
    reply.write(Buffer.from("x"));
    await client.until(/^DATA 1 1$/);
    seen.length = 0;
    client.send(sent, headers(3, "GET", "/second"));
    // Still in the turn in which the request was read: what answers it has not left.
    const other = await exchange(1);
    first(other);
    reply.end([]);
    answer(other, "y");
    await client.until(/^DATA 3.*END_STREAM$/);
    assert.deepEqual(seen.slice(0, answered.length + 1), [...answered, "DATA 1 0 1"]);
    assert.equal(seen.at(-1), "DATA 3 1 1");
  });
}
