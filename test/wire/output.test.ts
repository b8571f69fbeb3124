// The memory that frames are written into is lent to the kernel, and used again by whichever connection needs some next. What a
// client has not read yet must not be written over by what others get meanwhile.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect } from "node:net";
import { connect as connectTls, createServer } from "node:tls";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Exchange } from "../../edge/exchange.ts";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { Output } from "../../edge/http2/output.ts";
import { h2, http2Client } from "../support/clients.ts";
import { PREFACE, frame, headers } from "../support/frames.ts";
import { serve } from "../support/http1-server.ts";
import { pair } from "../support/pair.ts";
import { trust } from "../support/tls.ts";

const SEGMENT_BYTES = 65_536;

/** Bytes that no other owner's are like; 251 of them again and again, so that a segment's place shows as well. */
function bytesOf(owner: number, count: number): Buffer {
  return Buffer.alloc(count, Buffer.from(Array.from({ length: 251 }, (_, at) => (owner * 31 + at) & 0xff)));
}

/** One connection's output, and both ends of its socket. */
interface Writing {
  readonly output: Output;
  readonly edge: Socket;
  readonly client: Socket;
  /** Writes so many bytes of its own, a piece of up to 10,000 at a time; they leave as the output sees fit. */
  write(count: number): void;
  /** All that has been written. */
  readonly written: Buffer[];
}

async function writing(t: TestContext, owner: number): Promise<Writing> {
  const { edge, client } = await pair(t);
  const output = new Output(edge, () => {});
  edge.on("drain", () => output.drained());
  const written: Buffer[] = [];
  const write = (count: number): void => {
    const bytes = bytesOf(owner, count);
    for (let at = 0; at < count; at += 10_000) {
      const piece = bytes.subarray(at, at + 10_000);
      output.reserve(piece.length);
      output.length += piece.copy(output.buffer, output.length);
    }
    written.push(bytes);
  };
  return { output, edge, client, write, written };
}

/** Reads until all that was written has come, and compares. */
async function readsAll({ client, written, edge }: Writing): Promise<void> {
  const want = Buffer.concat(written);
  edge.end();
  const got = Buffer.concat(await client.toArray());
  assert.equal(got.length, want.length);
  assert.ok(got.equals(want), "other bytes than its own");
}

/** Some others take and give back more segments than a connection has lent. */
async function others(t: TestContext): Promise<void> {
  const busy = await Promise.all(Array.from({ length: 12 }, (_, i) => writing(t, i + 1)));
  for (let round = 0; round < 4; round++) {
    for (const each of busy) {
      each.client.resume();
      each.write(SEGMENT_BYTES * 2);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const each of busy) each.output.flush();
}

const MEANWHILE: [what: string, then: (slow: Writing) => void][] = [
  ["nothing happens to it", () => {}],
  ["its clock ticks", ({ output }) => output.drained()],
  ["it is flushed with nothing to send", ({ output }) => output.flush()],
  ["it is sent a little more", ({ write }) => write(10)],
  ["it is sent several segments more", ({ write }) => write(5 * SEGMENT_BYTES)],
];

for (const [what, then] of MEANWHILE) {
  test(`bytes that wait for a client stay what they are, when ${what}, and others use the memory`, async (t) => {
    const slow = await writing(t, 0);
    slow.write(10 * SEGMENT_BYTES);
    slow.output.flush();
    assert.ok(slow.edge.writableLength > 0, "the kernel took everything");
    await others(t);
    then(slow);
    await others(t);
    slow.output.flush();
    assert.ok(slow.edge.writableLength > 0, "the kernel took everything");
    await readsAll(slow);
  });
}

test("bytes stay what they are while a client reads them a few at a time, and gets more", async (t) => {
  const slow = await writing(t, 0);
  const got: Buffer[] = [];
  let bytes = 0;
  for (let round = 0; round < 8; round++) {
    slow.write(3 * SEGMENT_BYTES);
    await others(t);
    // Half of it, so that more and more waits.
    while (bytes < ((round + 1) * 3 * SEGMENT_BYTES) / 2) {
      const chunk = slow.client.read() as Buffer | null;
      if (chunk === null) await once(slow.client, "readable");
      else got.push(chunk);
      bytes += chunk?.length ?? 0;
    }
  }
  slow.output.flush();
  slow.edge.end();
  got.push(...(await slow.client.toArray()));
  assert.ok(Buffer.concat(got).equals(Buffer.concat(slow.written)));
});

test("a few bytes a turn for a client that reads nothing take little more memory than they are", async (t) => {
  const slow = await writing(t, 0);
  slow.write(10 * SEGMENT_BYTES);
  slow.output.flush();
  const before = slow.output.held;
  for (let turn = 0; turn < 1000; turn++) {
    slow.write(50);
    slow.output.flush();
  }
  const more = slow.output.held - before;
  assert.ok(more > 50_000 && more < 500_000, `${more} bytes for 50,000`);
  await readsAll(slow);
  slow.output.drained();
  assert.equal(slow.output.held, 0);
});

test("a segment that the kernel has taken is anybody's, and one that is too large for others is not", async (t) => {
  const { output, client } = await writing(t, 0);
  const other = await writing(t, 1);
  client.resume();
  const segments = new Set<Buffer>();
  for (let i = 0; i < 100; i++) {
    output.reserve(10);
    segments.add(output.buffer);
    output.length += 10;
    output.flush();
  }
  other.output.reserve(10);
  segments.add(other.output.buffer);
  assert.equal(segments.size, 1);
  output.reserve(SEGMENT_BYTES + 1);
  const large = output.buffer;
  output.length += 10;
  output.flush();
  output.reserve(10);
  assert.notEqual(output.buffer, large);
  assert.equal(output.buffer.length, SEGMENT_BYTES);
});

const BODY_BYTES = 2_000_000;
/** More than the kernel takes of it. */
const LARGE_BYTES = 16_000_000;

/** The body that a path stands for: `/0` is the large one. */
function bodyOf({ head }: Exchange): Buffer {
  return bytesOf(Number(head.path.slice(1)), head.path === "/0" ? LARGE_BYTES : BODY_BYTES);
}

test("HTTP/2: a client that reads nothing for a while, with others busy meanwhile, gets its own bytes", async (t) => {
  const { port, exchange } = await serve(t, (each) => {
    each.respond(200, [], false);
    each.write(bodyOf(each));
    each.end([]);
  });
  const slow = connect(port, "127.0.0.1");
  t.after(() => slow.destroy());
  const widest = Buffer.from([0x3f, 0xff, 0, 0]);
  slow.write(
    Buffer.concat([
      PREFACE,
      frame("SETTINGS", 0, 0, Buffer.concat([Buffer.from([0, 4]), widest])),
      frame("WINDOW_UPDATE", 0, 0, widest),
      headers(1, "GET", "/0"),
    ]),
  );
  const want = bodyOf(await exchange(0));
  const busy = http2Client(t, port, { settings: { initialWindowSize: BODY_BYTES } });
  for (let owner = 1; owner <= 8; owner++) {
    const { body } = await h2(busy, { ":path": `/${owner}` });
    assert.ok(body.equals(bytesOf(owner, BODY_BYTES)));
  }
  const got: Buffer[] = [];
  const over = Promise.withResolvers<void>();
  const reader = new FrameReader(16_384, (bytes, { type, flags, stream, start, end }) => {
    if (stream !== 1 || type !== 0) return;
    got.push(Buffer.from(bytes.subarray(start, end)));
    if ((flags & 1) !== 0) over.resolve();
  });
  slow.on("data", (bytes: Buffer) => reader.push(bytes));
  await over.promise;
  assert.ok(Buffer.concat(got).equals(want));
});

test("over TLS, where no write is taken at once, a segment is free again when its write is done", async (t) => {
  const { edge, client } = await securePair(t);
  const segments = new Set<Buffer>();
  let taken = Promise.withResolvers<void>();
  const output = new Output(edge, () => taken.resolve());
  client.resume();
  for (let i = 0; i < 20; i++) {
    taken = Promise.withResolvers<void>();
    output.reserve(100);
    segments.add(output.buffer);
    output.length += 100;
    await taken.promise;
  }
  assert.equal(segments.size, 1);
});

/** Both ends of a connection over TLS. */
async function securePair(t: TestContext): Promise<{ edge: Socket; client: Socket }> {
  const { good } = trust();
  const server = createServer({ ...good });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = once(server, "secureConnection");
  const edge = connectTls((server.address() as AddressInfo).port, "127.0.0.1");
  const [client] = (await accepted) as [Socket];
  t.after(() => {
    edge.destroy();
    client.destroy();
    server.close();
  });
  return { edge, client };
}
