// What one of ours writes, the other reads; and so does node:http2, which is nghttp2.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { test } from "node:test";
import { Counts } from "../../../edge/http2/counts.ts";
import { HeaderBlocks } from "../../../edge/http2/header-blocks.ts";
import { Decoder } from "../../../edge/http2/hpack/decoder.ts";
import { Encoder } from "../../../edge/http2/hpack/encoder.ts";
import { HpackError } from "../../../edge/http2/hpack/error.ts";
import { decodeHuffman, huffmanLength, writeHuffman } from "../../../edge/http2/hpack/huffman.ts";
import { PREFACE, frame } from "../../support/frames.ts";

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const LIMITS = { resets: 1, answers: 1, empty: 1, updates: 1 };

/** A field list as traffic has them: names that come again, values that do or do not. */
function someFields(next: () => number): string[] {
  const fields: string[] = [];
  for (let i = Math.floor(next() * 20); i >= 0; i--) {
    const value = Array.from({ length: Math.floor(next() * (next() < 0.05 ? 3000 : 30)) }, () =>
      String.fromCharCode(Math.floor(next() * 256)),
    );
    fields.push(
      next() < 0.5 ? "content-type" : `x-field-${Math.floor(next() * 40)}`,
      next() < 0.6 ? `v${Math.floor(next() * 5)}` : value.join(""),
    );
  }
  return fields;
}

test("every byte by itself, and all together, survive Huffman", () => {
  const out = Buffer.alloc(2000);
  const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
  for (const text of [...all, all.join(""), ""]) {
    const end = writeHuffman(text, out, 0);
    assert.equal(end, huffmanLength(text));
    assert.equal(decodeHuffman(out, 0, end), text);
  }
});

test("20,000 random strings survive Huffman, whatever bits their codes end on", () => {
  const next = random(3);
  const out = Buffer.alloc(2000);
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: Math.floor(next() * 12) }, () =>
      String.fromCharCode(Math.floor(next() * 256)),
    ).join("");
    assert.equal(decodeHuffman(out, 0, writeHuffman(text, out, 0)), text);
  }
});

for (const huffman of [true, false]) {
  test(`5,000 random blocks round-trip, with table sizes that change (Huffman ${huffman ? "on" : "off"})`, () => {
    const next = random(7);
    const encoder = new Encoder({ maxTableBytes: 4096, huffman });
    const decoder = new Decoder(4096, 1_000_000);
    for (let i = 0; i < 5000; i++) {
      if (next() < 0.02) encoder.allow(Math.floor(next() * 5000));
      const fields = someFields(next);
      const never = next() < 0.1 ? [fields[0] ?? ""] : [];
      const out = Buffer.alloc(Encoder.most(fields));
      const block = out.subarray(0, encoder.encode([], fields, never, out, 0));
      const decoded = decoder.decode(block, 0, block.length);
      assert.deepEqual(decoded.fields, fields);
      assert.deepEqual([...new Set(decoded.neverIndexed)], never);
    }
  });
}

test("blocks that are remembered on both sides mean what they say, whatever the tables do in between", () => {
  const next = random(17);
  const encoder = new Encoder({ maxTableBytes: 4096, huffman: true });
  const blocks = new HeaderBlocks(4096, 1_000_000, 64, new Counts(LIMITS, () => 0));
  const again = Array.from({ length: 24 }, () => someFields(next));
  const pseudo = [
    [":status", "200"],
    [":status", "404"],
  ];
  const seen = new Set<unknown>();
  let recalled = 0;
  let same = 0;
  for (let i = 0; i < 20_000; i++) {
    if (next() < 0.005) encoder.allow(Math.floor(next() * 5000));
    // Long runs of a few lists, as traffic has them, and now and then one that is new.
    const fields = next() < 0.02 ? someFields(next) : (again[((i >> 9) % 20) + Math.floor(next() * 4)] ?? []);
    const status = pseudo[Math.floor(next() * 1.1)] ?? [];
    const known = encoder.recall(status, fields);
    if (known !== undefined) recalled++;
    const out = Buffer.alloc(Encoder.most(status) + Encoder.most(fields));
    const block = known ?? out.subarray(0, encoder.encode(status, fields, [], out, 0));
    const head = blocks.headers(block, { type: 1, flags: 4, stream: 1, start: 0, end: block.length })?.head;
    assert.deepEqual(head?.fields, [...status, ...fields]);
    if (seen.has(head)) same++;
    seen.add(head);
  }
  // Both memories were at work, or this has shown nothing.
  assert.ok(recalled > 1000, `the encoder recalled ${recalled}`);
  assert.ok(same > 1000, `the decoder recalled ${same}`);
});

test("200,000 random blocks are decoded or refused, and nothing else happens", () => {
  const next = random(11);
  const noise = randomBytesOf(next, 1_000_000);
  let refused = 0;
  let decoder = new Decoder(4096, 65_536);
  for (let i = 0; i < 200_000; i++) {
    const start = Math.floor(next() * (noise.length - 64));
    const end = start + Math.floor(next() * 64);
    try {
      decoder.decode(noise, start, end);
    } catch (thrown) {
      assert.ok(thrown instanceof HpackError, String(thrown));
      refused++;
      decoder = new Decoder(4096, 65_536);
    }
  }
  assert.ok(refused > 10_000 && refused < 200_000);
});

function randomBytesOf(next: () => number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = Math.floor(next() * 256);
  return bytes;
}

test("node:http2 reads 200 of our blocks on one connection, and we read its replies", async (t) => {
  const server = createServer({ maxHeaderListPairs: 200 });
  server.on("stream", (stream, _headers, _flags, raw: string[]) => {
    const echoed = raw.map((text, i) => (i % 2 === 0 ? text.replace(/^:/, "x-pseudo-") : text));
    const reply: Record<string, string[]> = {};
    for (let i = 0; i < echoed.length; i += 2) (reply[echoed[i] ?? ""] ??= []).push(echoed[i + 1] ?? "");
    stream.respond({ ":status": 200, ...reply }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  t.after(() => {
    socket.destroy();
    server.close();
  });
  const encoder = new Encoder({ maxTableBytes: 4096, huffman: true });
  const decoder = new Decoder(4096, 1_000_000);
  const replies: string[][] = [];
  const all = Promise.withResolvers<void>();
  let bytes = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (
      let length = 0;
      bytes.length >= 9 && bytes.length >= 9 + (length = bytes.readUIntBE(0, 3));
      bytes = bytes.subarray(9 + length)
    ) {
      if (bytes[3] === 4 && ((bytes[4] ?? 0) & 1) === 0) socket.write(frame("SETTINGS", 1, 0));
      if (bytes[3] !== 1) continue;
      replies.push([...decoder.decode(bytes, 9, 9 + length).fields]);
      if (replies.length === 200) all.resolve();
    }
  });
  await once(socket, "connect");
  socket.write(Buffer.concat([PREFACE, frame("SETTINGS", 0, 0)]));
  const sent: string[][] = [];
  const next = random(23);
  for (let i = 0; i < 200; i++) {
    const extra = Array.from({ length: i % 7 }, (_, k) => [
      `x-field-${(i * k) % 13}`,
      randomBytesOf(next, i % 40).toString("base64"),
    ]).flat();
    const fields = [
      ":method",
      "GET",
      ":scheme",
      "http",
      ":path",
      `/${i % 9}`,
      ":authority",
      "a.example",
      ...extra,
    ];
    const out = Buffer.alloc(Encoder.most(fields));
    sent.push(fields);
    socket.write(frame("HEADERS", 5, 2 * i + 1, out.subarray(0, encoder.encode([], fields, [], out, 0))));
  }
  await all.promise;
  for (const [i, fields] of sent.entries()) {
    const echoed = byName(replies[i] ?? []);
    const want = byName(fields.map((text, at) => (at % 2 === 0 ? text.replace(/^:/, "x-pseudo-") : text)));
    for (const [name, values] of want) assert.deepEqual(echoed.get(name), values, `${i}: ${name}`);
  }
});

/** The values of each name, in their order. */
function byName(list: readonly string[]): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? "";
    all.set(name, [...(all.get(name) ?? []), list[i + 1] ?? ""]);
  }
  return all;
}
