import type { Socket } from "node:net";
import type { HeaderList } from "../exchange.ts";
import type { ErrorCode } from "./frame.ts";
import { CODE, DEFAULT_FRAME_BYTES, FLAG, HEAD_BYTES, TYPE, writeHead, writeUInt32 } from "./frame.ts";
import { Encoder } from "./hpack/encoder.ts";
import { Output } from "./output.ts";

const NONE: readonly string[] = [];

/**
 * Writes frames into a connection's output, each in place (RFC 9113, section 6). It knows no state but HPACK's.
 *
 * Payloads stay at the frame size that every peer takes: larger ones would only keep other streams waiting.
 */
export class FrameWriter {
  /** RST_STREAM frames so far. */
  resets = 0;

  readonly #output: Output;
  readonly #encoder: Encoder;
  /** Where in the output the last DATA frame begins, and whose it is. */
  #lastData = 0;
  #lastDataStream = 0;
  #lastDataSegment = -1;

  /** `taken` hears when all that was written has left at once. */
  constructor(socket: Socket, encoder: Encoder, taken: () => void) {
    this.#output = new Output(socket, taken);
    this.#encoder = encoder;
  }

  /** True when the peer does not read what it has been sent: bodies wait. */
  get isFull(): boolean {
    return this.#output.isFull;
  }

  /** Bytes of memory of what waits for the peer. */
  get held(): number {
    return this.#output.held;
  }

  flush(): void {
    this.#output.flush();
  }

  /** The peer has read what it was behind with. */
  drained(): void {
    this.#output.drained();
  }

  /** `pseudo` and `fields` together are the head; `neverIndexed` names those that no hop may put into a table. */
  headers(
    id: number,
    pseudo: HeaderList,
    fields: HeaderList,
    end: boolean,
    neverIndexed: readonly string[] = NONE,
  ): void {
    const flags = end ? FLAG.END_STREAM : 0;
    const known = this.#encoder.recall(pseudo, fields);
    if (known !== undefined) return this.#knownHeaders(id, known, flags);
    const out = this.#output;
    out.reserve(HEAD_BYTES + Encoder.most(pseudo) + Encoder.most(fields));
    const start = out.length + HEAD_BYTES;
    const stop = this.#encoder.encode(pseudo, fields, neverIndexed, out.buffer, start);
    if (stop - start > DEFAULT_FRAME_BYTES)
      return this.#largeHeaders(id, Buffer.from(out.buffer.subarray(start, stop)), flags);
    writeHead(out.buffer, out.length, stop - start, TYPE.HEADERS, flags | FLAG.END_HEADERS, id);
    out.length = stop;
  }

  #knownHeaders(id: number, block: Buffer, flags: number): void {
    const out = this.#output;
    out.reserve(HEAD_BYTES + block.length);
    const start = writeHead(out.buffer, out.length, block.length, TYPE.HEADERS, flags | FLAG.END_HEADERS, id);
    out.buffer.set(block, start);
    out.length = start + block.length;
  }

  /** A block over the frame size goes on in CONTINUATION frames (RFC 9113, section 6.10). */
  #largeHeaders(id: number, block: Buffer, flags: number): void {
    const out = this.#output;
    for (let at = 0; at < block.length; at += DEFAULT_FRAME_BYTES) {
      const stop = Math.min(block.length, at + DEFAULT_FRAME_BYTES);
      const last = stop === block.length ? FLAG.END_HEADERS : 0;
      const type = at === 0 ? TYPE.HEADERS : TYPE.CONTINUATION;
      out.reserve(HEAD_BYTES + stop - at);
      const start = writeHead(out.buffer, out.length, stop - at, type, (at === 0 ? flags : 0) | last, id);
      out.length = start + block.copy(out.buffer, start, at, stop);
    }
  }

  /** One DATA frame with at most `most` bytes of a chunk from `at` on; answers how many it holds. */
  data(id: number, chunk: Buffer, at: number, most: number): number {
    const bytes = Math.min(chunk.length - at, most, DEFAULT_FRAME_BYTES);
    if (bytes <= 0) return 0;
    const out = this.#output;
    out.reserve(HEAD_BYTES + bytes);
    this.#lastData = out.length;
    this.#lastDataStream = id;
    this.#lastDataSegment = out.segment;
    const start = writeHead(out.buffer, out.length, bytes, TYPE.DATA, 0, id);
    out.length = start + chunk.copy(out.buffer, start, at, at + bytes);
    return bytes;
  }

  /** Ends a stream: with trailers, or by the flag of its last DATA frame if nothing came after it yet, or with an empty one. */
  end(id: number, trailers: HeaderList, neverIndexed: readonly string[] = NONE): void {
    if (trailers.length > 0) return this.headers(id, NONE, trailers, true, neverIndexed);
    const out = this.#output;
    const at = this.#lastData;
    if (this.#lastDataStream === id && this.#isLast(at)) {
      out.buffer[at + 4] = FLAG.END_STREAM;
      return;
    }
    this.#head(0, TYPE.DATA, FLAG.END_STREAM, id);
  }

  /** True when the last thing in the output is the DATA frame that was written last: what lay there before may have left. */
  #isLast(at: number): boolean {
    const { buffer, length, segment } = this.#output;
    if (segment !== this.#lastDataSegment || at + HEAD_BYTES > length) return false;
    const bytes = ((buffer[at] ?? 0) << 16) | ((buffer[at + 1] ?? 0) << 8) | (buffer[at + 2] ?? 0);
    return at + HEAD_BYTES + bytes === length;
  }

  reset(id: number, code: ErrorCode): void {
    this.resets++;
    this.#head(4, TYPE.RST_STREAM, 0, id);
    this.#number(CODE[code]);
  }

  windowUpdate(id: number, bytes: number): void {
    this.#head(4, TYPE.WINDOW_UPDATE, 0, id);
    this.#number(bytes);
  }

  settings(settings: readonly (readonly [id: number, value: number])[]): void {
    this.#head(settings.length * 6, TYPE.SETTINGS, 0, 0);
    for (const [id, value] of settings) {
      const out = this.#output;
      out.buffer[out.length++] = id >>> 8;
      out.buffer[out.length++] = id;
      this.#number(value);
    }
  }

  settingsAck(): void {
    this.#head(0, TYPE.SETTINGS, FLAG.ACK, 0);
  }

  /** `payload` is 8 bytes; with `ack` it is the answer to a PING that held them. */
  ping(payload: Buffer, ack: boolean): void {
    this.#head(8, TYPE.PING, ack ? FLAG.ACK : 0, 0);
    this.#output.length += payload.copy(this.#output.buffer, this.#output.length);
  }

  goaway(last: number, code: ErrorCode, debug: string): void {
    const text = Buffer.from(debug);
    this.#head(8 + text.length, TYPE.GOAWAY, 0, 0);
    this.#number(last);
    this.#number(CODE[code]);
    this.#output.length += text.copy(this.#output.buffer, this.#output.length);
  }

  /** A frame's head, and room for all of it. */
  #head(length: number, type: number, flags: number, id: number): void {
    const out = this.#output;
    out.reserve(HEAD_BYTES + length);
    out.length = writeHead(out.buffer, out.length, length, type, flags, id);
  }

  #number(value: number): void {
    this.#output.length = writeUInt32(this.#output.buffer, this.#output.length, value);
  }
}
