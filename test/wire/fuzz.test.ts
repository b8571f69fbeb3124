// Frames that are bent on purpose, in both roles: whatever comes, a connection ends or goes on by the book. It never throws, never
// holds more than its windows, tells each receiver of one end at most, and what it writes are frames. Each run is the same.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import type { BodyReceiver } from "../../edge/exchange.ts";
import { Allowance } from "../../edge/http2/allowance.ts";
import { Connection } from "../../edge/http2/connection.ts";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import type { Stream } from "../../edge/http2/stream.ts";
import { readConfig } from "../../edge/settings/config.ts";
import { fields, frame } from "../support/frames.ts";
import { numbers } from "../support/random.ts";

const LIMITS = readConfig({});
const MAX_STREAMS = 6;
const WINDOW = 65_535;
const CONNECTION_WINDOW = 200_000;
/** What may wait: every stream's window and a segment for what goes out, twice over for what memory is kept in. */
const MOST_HELD = 2 * (MAX_STREAMS * WINDOW + 400_000);

type Next = (below: number) => number;
type Role = "server" | "client";

/** A socket that takes everything, and remembers it. */
class Sink extends Duplex {
  readonly written: Buffer[] = [];
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(chunk));
    done();
  }
  destroySoon(): void {
    this.end();
    this.destroy();
  }
  resetAndDestroy(): void {
    this.destroy();
  }
}

const PASSING: readonly (readonly [string, string])[] = [
  ["te", "trailers"],
  ["grpc-status", "0"],
  ["x-long", "v".repeat(300)],
];
const BAD: readonly (readonly [string, string])[] = [
  ["content-length", "5"],
  ["connection", "close"],
  ["Upper", "case"],
  [":path", "/late"],
];

const noise = (next: Next, length: number): Buffer => Buffer.from(Array.from({ length }, () => next(256)));

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** Says things as a peer would, by the book but for one in a few dozen. */
class Peer {
  readonly #next: Next;
  readonly #role: Role;
  #lastId: number;

  constructor(next: Next, role: Role) {
    this.#next = next;
    this.#role = role;
    this.#lastId = role === "server" ? -1 : 2 * MAX_STREAMS - 1;
  }

  /** True now and then: something shall be wrong. */
  get #errs(): boolean {
    return this.#next(300) === 0;
  }

  #id(): number {
    return this.#errs ? this.#next(80) : 2 * this.#next((this.#lastId + 1) / 2) + 1;
  }

  #block(isTrailers: boolean): Buffer {
    const next = this.#next;
    const request = [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"];
    const list = this.#role === "server" ? request : [":status", next(3) === 0 ? "103" : "200"];
    const pseudo: [string, string][] = [];
    for (let i = 0; i < list.length; i += 2) pseudo.push([list[i] ?? "", list[i + 1] ?? ""]);
    const all = [...(isTrailers ? [] : pseudo), ...PASSING.filter(() => next(3) === 0)];
    if (next(20) === 0) all.push(BAD[next(BAD.length)] ?? ["", ""]);
    const bytes = fields(...all);
    // With indexing now and then, and a size update in front.
    if (next(3) === 0 && bytes.length > 0) bytes[0] = 0x40;
    return next(12) === 0 ? Buffer.concat([Buffer.from([0x20 + next(30)]), bytes]) : bytes;
  }

  /** A head of a new stream or an old one, or trailers. */
  #head(): Buffer {
    const next = this.#next;
    const isNew = this.#role === "server" && next(2) === 0;
    const id = isNew ? (this.#lastId += 2) : this.#id();
    const isTrailers = !isNew && next(2) === 0;
    const block = this.#block(isTrailers);
    const end = isTrailers || next(3) === 0 ? 1 : 0;
    if (next(3) > 0) return frame("HEADERS", 4 | end, id, block);
    const cut = next(block.length + 1);
    const rest = frame("CONTINUATION", this.#errs ? 0 : 4, id, block.subarray(cut));
    return Buffer.concat([frame("HEADERS", end, id, block.subarray(0, cut)), rest]);
  }

  /** One frame, or the frames of one block; DATA half of the time, so that streams get more than a window. */
  say(): Buffer {
    const next = this.#next;
    if (this.#lastId < 0) return this.#head();
    const kind = next(20);
    if (kind < 10) return this.#data();
    if (kind < 12) return this.#padded();
    if (kind < 14) return this.#head();
    if (kind < 16) return this.#window();
    if (kind < 18) return this.#odd();
    if (kind === 18 && next(4) === 0) return frame("RST_STREAM", 0, this.#id(), number(next(14)));
    if (next(2) === 0) return frame("PING", next(2), 0, Buffer.alloc(8));
    const setting = Buffer.from([0, next(2) === 0 ? 4 : 1]);
    return frame("SETTINGS", 0, 0, Buffer.concat([setting, number(next(100_000))]));
  }

  #data(): Buffer {
    const next = this.#next;
    const length = next(2) === 0 ? next(16_384) : next(100);
    return frame("DATA", next(60) === 0 ? 1 : 0, this.#id(), Buffer.alloc(length));
  }

  #padded(): Buffer {
    const padding = this.#errs ? 255 : this.#next(20);
    const payload = Buffer.alloc(20 + this.#next(40));
    return frame("DATA", 8, this.#id(), Buffer.concat([Buffer.from([padding]), payload]));
  }

  #window(): Buffer {
    const next = this.#next;
    const id = next(3) === 0 ? 0 : this.#id();
    return frame("WINDOW_UPDATE", 0, id, number(this.#errs ? 0x7f_ff_ff_ff : 1 + next(70_000)));
  }

  #odd(): Buffer {
    const next = this.#next;
    if (this.#errs) return frame("GOAWAY", 0, 0, Buffer.concat([number(next(60)), number(0)]));
    if (this.#errs) return frame("PUSH_PROMISE", next(256), this.#id(), noise(next, next(12)));
    if (next(2) === 0) return frame("PRIORITY", 0, this.#id(), Buffer.alloc(5));
    return frame("OTHER", next(256), this.#id(), noise(next, next(12)));
  }
}

/**
 * Hears of a body: one end at most, and nothing behind it but one failure, behind which there is nothing; and of what is not taken
 * no more than a window. What is wrong is written down: what a receiver throws costs its stream, and nobody would hear of it.
 */
class Hearer implements BodyReceiver {
  bytes = 0;
  readonly faults: string[] = [];
  readonly #stream: Stream;
  readonly #reads: boolean;
  #ended = false;
  #aborted = false;

  constructor(stream: Stream, reads: boolean) {
    this.#stream = stream;
    this.#reads = reads;
  }

  data(chunk: Buffer): void {
    this.#check(!this.#ended && !this.#aborted, "data behind an end");
    this.bytes += chunk.length;
    if (this.#reads) this.#stream.consume(chunk.length);
    else this.#check(this.bytes <= WINDOW, "more than a window");
  }

  end(): void {
    this.#check(!this.#ended && !this.#aborted, "two ends");
    this.#ended = true;
  }

  abort(): void {
    this.#check(!this.#aborted, "two failures");
    this.#aborted = true;
  }

  #check(isSo: boolean, fault: string): void {
    if (!isSo) this.faults.push(fault);
  }
}

interface Run {
  readonly connection: Connection;
  readonly sink: Sink;
  readonly hearers: Hearer[];
}

function begin(next: Next, role: Role): Run {
  const sink = new Sink();
  sink.on("error", () => {});
  const hearers: Hearer[] = [];
  const hear = (stream: Stream): void => {
    const hearer = new Hearer(stream, next(3) > 0);
    hearers.push(hearer);
    stream.receive(hearer);
  };
  const connection = new Connection(sink as unknown as Socket, {
    role,
    streamWindow: WINDOW,
    connectionWindow: CONNECTION_WINDOW,
    maxStreams: MAX_STREAMS,
    maxHeadBytes: 4096,
    connectProtocol: true,
    ...(role === "client" ? { allowance: new Allowance() } : {}),
    limits: LIMITS,
    exceeded: () => {},
    abortedBy: () => new EdgeError("upstream_reset"),
    onRequest(stream) {
      stream.events = { closed() {} };
      hear(stream);
      act(next, stream);
    },
  });
  if (role === "client")
    for (let i = 0; i < MAX_STREAMS; i++) {
      const stream = connection.open(
        [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"],
        [],
        [],
      );
      stream.events = { closed() {} };
      hear(stream);
      act(next, stream);
    }
  return { connection, sink, hearers };
}

/** What the layer above may do with a stream. */
function act(next: Next, stream: Stream): void {
  const replies = stream.headSeen || stream.id % 2 === 1;
  if (replies && next(2) === 0) stream.sendHead([":status", "200"], ["x", "y"], next(4) === 0);
  if (next(2) === 0) stream.write(Buffer.alloc(next(90_000)));
  if (next(3) === 0) stream.end(next(2) === 0 ? [] : ["t", "u"]);
  if (next(8) === 0) stream.cancel();
  if (next(8) === 0) stream.discard();
}

/** What has been written, as frames; throws where it is none. */
function framesOf({ sink }: Run): number {
  let frames = 0;
  const reader = new FrameReader(16_384, (_bytes, { type }) => {
    assert.ok(type <= 9, `a frame of type ${type}`);
    frames++;
  });
  for (const chunk of sink.written) reader.push(chunk);
  assert.equal(reader.held, 0, "a frame is cut");
  return frames;
}

for (const role of ["server", "client"] as const) {
  test(`1,000 connections with up to 400 frames each, some of them bent, as ${role}`, async () => {
    const next = numbers(role === "server" ? 41 : 43);
    let lived = 0;
    let ended = 0;
    let heard = 0;
    for (let i = 0; i < 1000; i++) {
      const run = begin(next, role);
      const { connection } = run;
      const bends = next(3);
      const peer = new Peer(next, role);
      const bytes = Buffer.concat([
        frame("SETTINGS", 0, 0),
        ...Array.from({ length: 20 + next(380) }, () => peer.say()),
      ]);
      for (let bend = 0; bend < bends; bend++) bytes[next(bytes.length)] = next(256);
      for (let at = 0; at < bytes.length;) {
        const length = next(4) === 0 ? 1 + next(12) : 1 + next(20_000);
        connection.receive(bytes.subarray(at, at + length));
        at += length;
        assert.ok(connection.streams.size <= MAX_STREAMS, `${connection.streams.size} streams`);
        assert.ok(connection.held <= MOST_HELD, `${connection.held} bytes are held`);
        for (const stream of connection.streams.all()) if (next(25) === 0) act(next, stream);
      }
      assert.deepEqual(
        run.hearers.flatMap(({ faults }) => faults),
        [],
      );
      heard += run.hearers.reduce((sum, hearer) => sum + hearer.bytes, 0);
      if (connection.isDead) ended++;
      else lived++;
      connection.writer.flush();
      connection.destroy();
      assert.equal(connection.streams.size, 0, "streams are left");
      framesOf(run);
    }
    // Both ways out were taken, and bodies came through, or this has shown nothing.
    assert.ok(
      ended > 100 && lived > 20 && heard > 1_000_000,
      `${ended} ended, ${lived} lived, ${heard} bytes`,
    );
  });
}
