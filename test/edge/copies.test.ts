// What is written while its memory is its sender's again after the call: on real sockets, whatever the kernel takes of it at once.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { writeBetween, writeCopy } from "../../edge/port/copies.ts";

interface Ends {
  readonly reader: Socket;
  readonly writer: Socket;
}

async function connected(t: TestContext): Promise<Ends> {
  const server = createServer();
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const accepted = once(server, "connection");
  const reader = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [writer] = (await accepted) as [Socket];
  t.after(() => [reader, writer].forEach((socket) => void socket.destroy()));
  return { reader, writer };
}

/** Bytes that differ from those of any other `seed`. */
function filled(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 7 + seed * 31) % 256));
}

for (const length of [0, 1, 1024, 1025, 16_384, 65_536, 81_920, 81_921, 1_000_000]) {
  test(`a copy of ${length} bytes is written, whatever becomes of the original`, async (t) => {
    const { reader, writer } = await connected(t);
    const bytes = filled(length, 1);
    writeCopy(writer, bytes);
    writeBetween(writer, "<", bytes, ">");
    bytes.fill(0);
    writer.end();
    const want = filled(length, 1);
    assert.ok(
      Buffer.concat(await reader.toArray()).equals(
        Buffer.concat([want, Buffer.from("<"), want, Buffer.from(">")]),
      ),
    );
  });
}

test("what waits for one client is not written over by what others get", async (t) => {
  const slow = await connected(t);
  const quick = await connected(t);
  const chunks = Array.from({ length: 200 }, (_, at) => filled(20_000 + at * 200, at));
  const arrived = quick.reader.toArray();
  let waited = 0;
  for (const chunk of chunks) {
    for (const { writer } of [slow, quick]) writeBetween(writer, "a", Buffer.from(chunk), "z");
    if (slow.writer.writableLength > 0) waited++;
    if (quick.writer.writableNeedDrain) await once(quick.writer, "drain");
  }
  assert.ok(waited > 10, "the kernel took all of it at once");
  for (const { writer } of [slow, quick]) writer.end();
  const want = Buffer.concat(chunks.flatMap((chunk) => [Buffer.from("a"), chunk, Buffer.from("z")]));
  assert.ok(Buffer.concat(await slow.reader.toArray()).equals(want));
  assert.ok(Buffer.concat(await arrived).equals(want));
});

test("large copies to clients that read take no memory of their own", async (t) => {
  const { reader, writer } = await connected(t);
  reader.resume();
  const chunk = filled(65_536, 1);
  const written: ArrayBufferLike[] = [];
  const { write } = writer;
  writer.write = (...args: unknown[]): boolean => {
    written.push((args[0] as Buffer).buffer);
    return (write as (...all: unknown[]) => boolean).apply(writer, args);
  };
  for (let i = 0; i < 20; i++) {
    writeCopy(writer, chunk);
    if (writer.writableLength > 0) await once(writer, "drain");
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(new Set(written).size < 10, `${new Set(written).size} pieces of memory for 20 copies`);
});
