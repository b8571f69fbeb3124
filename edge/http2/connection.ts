import type { Socket } from "node:net";
import type { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { Counts } from "./counts.ts";
import { ReceiveWindow } from "./flow.ts";
import { FrameReader } from "./frame-reader.ts";
import type { ErrorCode, Frame } from "./frame.ts";
import {
  CODE,
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW,
  FLAG,
  LARGEST_WINDOW,
  SETTING,
  StreamError,
  TYPE,
  readUInt31,
  withoutPadding,
} from "./frame.ts";
import { Encoder } from "./hpack/encoder.ts";
import type { Head, HeaderBlock } from "./header-blocks.ts";
import { HeaderBlocks } from "./header-blocks.ts";
import { readSettings } from "./settings.ts";
import { FrameWriter } from "./frame-writer.ts";
import { Stream } from "./stream.ts";

/** Bytes of each direction's dynamic table (RFC 9113's default for SETTINGS_HEADER_TABLE_SIZE). */
const TABLE_BYTES = 4096;

export interface ConnectionOptions {
  readonly role: "server" | "client";
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxStreams: number;
  readonly maxHeadBytes: number;
  readonly connectProtocol: boolean;
  /** Milliseconds that the first SETTINGS, and a header block that has begun, may take. */
  readonly headMs: number;
  /** Makes the error that a receiver hears when the peer resets its stream or vanishes. */
  readonly abortedBy: (code: number) => EdgeError;
  /** A request has come (server role). One whose head is `tooLarge` is incomplete and must not be served. */
  readonly onRequest?: (stream: Stream, head: Head, end: boolean) => void;
  /** The peer's first SETTINGS are there (client role), or it said GOAWAY, or the connection is gone. */
  readonly onState?: (state: "ready" | "goaway" | "closed") => void;
}

/** Bytes below which a WINDOW_UPDATE counts as one that is sent to keep us busy. */
const SMALL_UPDATE = 256;

const NONE: HeaderList = [];

/** One HTTP/2 connection, either role (RFC 9113). All state of its streams' protocol lives here; bodies live in the streams. */
export class Connection {
  readonly streams = new Map<number, Stream>();
  readonly socket: Socket;
  readonly abortedBy: (code: number) => EdgeError;

  readonly #options: ConnectionOptions;
  readonly #reader: FrameReader;
  readonly #blocks: HeaderBlocks;
  readonly #encoder: Encoder;
  readonly #writer: FrameWriter;
  readonly #counts: Counts;
  readonly #window: ReceiveWindow;
  readonly #waiting = new Set<Stream>();
  #settled = false;
  #sendWindow = DEFAULT_WINDOW;
  #initialSendWindow = DEFAULT_WINDOW;
  #maxStreamsOut = LARGEST_WINDOW;
  /** The highest stream id that the peer opened, or that we did. */
  #lastIn = 0;
  #nextOut = 1;
  #goingAway = false;
  #goawayAnswered = false;
  /** The peer said GOAWAY: a client may still open streams of its own, but once it has none, it is done. */
  #peerLeaves = false;
  #dead = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.socket = socket;
    this.abortedBy = options.abortedBy;
    this.#options = options;
    this.#reader = new FrameReader(DEFAULT_FRAME_BYTES, (bytes, frame) => this.#onFrame(bytes, frame));
    this.#counts = new Counts(() => performance.now());
    this.#blocks = new HeaderBlocks(TABLE_BYTES, options.maxHeadBytes, this.#counts);
    this.#window = new ReceiveWindow(options.connectionWindow);
    this.#encoder = new Encoder({ maxTableBytes: TABLE_BYTES, huffman: options.role === "server" });
    this.#writer = new FrameWriter(socket, this.#encoder);
    socket.on("drain", () => this.#pumpAll());
    socket.once("close", () => this.#onClose());
    this.#sendSettings();
    this.#expectSoon("SETTINGS_TIMEOUT", "no SETTINGS in time");
  }

  /** True when a stream may be opened (client role): ids are 31 bits, and none comes twice. */
  get isOpen(): boolean {
    return !this.#goingAway && !this.#dead && this.#nextOut < LARGEST_WINDOW;
  }

  get hasRoom(): boolean {
    return this.streams.size < this.#maxStreamsOut;
  }

  /** Opens a stream (client role). */
  open(pseudo: HeaderList, fields: HeaderList, neverIndexed: readonly string[]): Stream {
    const stream = this.#newStream(this.#nextOut);
    this.#nextOut += 2;
    stream.sendHead(pseudo, fields, false, neverIndexed);
    return stream;
  }

  /** Bytes have come. Never throws: what is wrong with them ends a stream or the connection. */
  receive(bytes: Buffer): void {
    if (this.#dead) return;
    try {
      this.#reader.push(bytes);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      this.fail(thrown.code, thrown.message);
    }
  }

  /** A connection error: GOAWAY says what it was, then the end (RFC 9113, section 5.4.1). */
  fail(code: ErrorCode, debug: string): void {
    if (this.#dead) return;
    this.#writer.goaway(this.#lastIn, code, debug);
    this.#writer.flush();
    this.#dead = true;
    this.socket.destroySoon();
    this.#abandon();
  }

  /** Takes no further streams; ends with the last one. In two steps, so that what is under way is not refused (RFC 9113, section 6.8). */
  drain(): void {
    if (this.#goingAway || this.#dead) return;
    this.#goingAway = true;
    this.#writer.goaway(LARGEST_WINDOW, "NO_ERROR", "");
    // By the time the peer has answered, it has read the GOAWAY: what it opens now it opens against better knowledge.
    this.#writer.ping(Buffer.alloc(8), false);
    this.#endIfIdle();
  }

  destroy(): void {
    this.#dead = true;
    this.socket.destroy();
    this.#abandon();
  }

  forget(stream: Stream): void {
    this.streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.#endIfIdle();
  }

  /** A stream has more to send than may go out. Its own window, when that is what it lacks, calls it by itself. */
  waitForRoom(stream: Stream): void {
    if (stream.sendWindow > 0) this.#waiting.add(stream);
  }

  /** Starts the clock on something that the peer has to finish. */
  #expectSoon(code: ErrorCode, debug: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fail(code, debug), this.#options.headMs);
  }

  // === sending

  sendHeaders(
    id: number,
    pseudo: HeaderList,
    fields: HeaderList,
    end: boolean,
    neverIndexed: readonly string[],
  ): void {
    this.#writer.headers(id, pseudo, fields, end, neverIndexed);
  }

  /** Sends what may be sent of a chunk from `at` on; answers how many bytes that was. */
  sendData(stream: Stream, chunk: Buffer, at: number): number {
    if (this.#writer.isFull) return 0;
    const bytes = this.#writer.data(stream.id, chunk, at, Math.min(stream.sendWindow, this.#sendWindow));
    stream.sendWindow -= bytes;
    this.#sendWindow -= bytes;
    return bytes;
  }

  sendEnd(stream: Stream, trailers: HeaderList): void {
    this.#writer.end(stream.id, trailers);
  }

  sendReset(id: number, code: ErrorCode): void {
    this.#writer.reset(id, code);
  }

  sendWindowUpdate(id: number, bytes: number): void {
    this.#writer.windowUpdate(id, bytes);
  }

  #sendSettings(): void {
    const { role, streamWindow, connectionWindow, maxStreams, maxHeadBytes, connectProtocol } = this.#options;
    const settings: [id: number, value: number][] = [
      [SETTING.INITIAL_WINDOW_SIZE, streamWindow],
      [SETTING.MAX_HEADER_LIST_SIZE, maxHeadBytes],
      role === "server" ? [SETTING.MAX_CONCURRENT_STREAMS, maxStreams] : [SETTING.ENABLE_PUSH, 0],
    ];
    if (role === "server" && connectProtocol) settings.push([SETTING.ENABLE_CONNECT_PROTOCOL, 1]);
    this.#writer.settings(settings);
    this.#writer.windowUpdate(0, connectionWindow - DEFAULT_WINDOW);
  }

  #pumpAll(): void {
    for (const stream of Array.from(this.#waiting)) {
      if (this.#writer.isFull || this.#sendWindow === 0) return;
      this.#waiting.delete(stream);
      stream.pump();
    }
  }

  // === receiving

  #onFrame(bytes: Buffer, frame: Frame): void {
    if (!this.#settled && frame.type !== TYPE.SETTINGS)
      throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS must come first");
    this.#blocks.check(frame);
    try {
      this.#dispatch(bytes, frame);
    } catch (thrown) {
      if (thrown instanceof ConnectionError) throw thrown;
      // Anything but an error of the protocol is a mistake of ours: it costs its stream, not the process.
      const { stream: id, code } =
        thrown instanceof StreamError ? thrown : new StreamError(frame.stream, "INTERNAL_ERROR", "");
      this.#spendReset();
      const stream = this.streams.get(id);
      if (stream === undefined) this.sendReset(id, code);
      else this.#resetBy(stream, code);
    }
  }

  #dispatch(bytes: Buffer, frame: Frame): void {
    switch (frame.type) {
      case TYPE.DATA:
        return this.#onData(bytes, frame);
      case TYPE.HEADERS:
        return this.#onBlock(this.#blocks.headers(bytes, frame));
      case TYPE.PRIORITY:
        return this.#onPriority(frame);
      case TYPE.RST_STREAM:
        return this.#onReset(bytes, frame);
      case TYPE.SETTINGS:
        return this.#onSettings(bytes, frame);
      case TYPE.PUSH_PROMISE:
        throw new ConnectionError("PROTOCOL_ERROR", "PUSH_PROMISE was not enabled");
      case TYPE.PING:
        return this.#onPing(bytes, frame);
      case TYPE.GOAWAY:
        return this.#onGoaway(bytes, frame);
      case TYPE.WINDOW_UPDATE:
        return this.#onWindowUpdate(bytes, frame);
      case TYPE.CONTINUATION:
        return this.#onBlock(this.#blocks.continuation(bytes, frame));
      default:
      // RFC 9113, section 5.5: what is unknown is ignored.
    }
  }

  #onData(bytes: Buffer, frame: Frame): void {
    const { start, end } = withoutPadding(bytes, frame);
    const stream = this.#known(frame);
    const counted = frame.end - frame.start;
    const ends = (frame.flags & FLAG.END_STREAM) !== 0;
    if (counted === 0 && !ends) this.#counts.spend("empty");
    this.#takeConnectionWindow(counted);
    // After a reset of ours the peer may go on for a while: that counts for the connection, and for nothing else.
    if (stream === undefined) return;
    if (stream.remoteEnded) throw new StreamError(stream.id, "STREAM_CLOSED", "DATA behind END_STREAM");
    if (!stream.window.take(counted)) {
      throw new StreamError(stream.id, "FLOW_CONTROL_ERROR", "more DATA than the window");
    }
    if (counted > end - start) stream.consume(counted - (end - start));
    this.#countPromised(stream, end - start, ends);
    if (end > start) stream.onData(bytes.subarray(start, end));
    if (ends) stream.onEnd(NONE);
  }

  /** RFC 9113, section 8.1.1: a content-length that does not fit is a malformed message. */
  #countPromised(stream: Stream, bytes: number, ends: boolean): void {
    if (stream.promised < 0) return;
    if (bytes > stream.promised || (ends && bytes < stream.promised)) {
      throw new StreamError(stream.id, "PROTOCOL_ERROR", "content-length does not fit");
    }
    stream.promised -= bytes;
  }

  /** The connection's window is given back at once: a stream that nobody reads must not hold up the others. */
  #takeConnectionWindow(bytes: number): void {
    if (!this.#window.take(bytes)) {
      throw new ConnectionError("FLOW_CONTROL_ERROR", "more DATA than the connection's window");
    }
    const told = this.#window.give(bytes);
    if (told > 0) this.#writer.windowUpdate(0, told);
  }

  #onBlock(block: HeaderBlock | undefined): void {
    if (block === undefined) return this.#expectSoon("ENHANCE_YOUR_CALM", "a header block that does not end");
    if (this.#settled) clearTimeout(this.#timer);
    const { stream: id, head, end } = block;
    const stream = this.streams.get(id);
    if (stream !== undefined) return this.#onMoreHeaders(stream, head, end);
    if (this.#options.role === "client") return this.#checkNotIdle(id);
    // RFC 9113, section 5.1.1: clients use odd ids, and each is higher than the last.
    if (id % 2 === 0) throw new ConnectionError("PROTOCOL_ERROR", "an even stream id");
    if (id <= this.#lastIn) return this.#spendReset();
    this.#lastIn = id;
    if (this.#goingAway && this.#goawayAnswered) return;
    if (this.streams.size >= this.#options.maxStreams)
      throw new StreamError(id, "REFUSED_STREAM", "too many streams");
    const wrong = head.tooLarge ? undefined : head.requestFault;
    if (wrong !== undefined) throw new StreamError(id, "PROTOCOL_ERROR", wrong);
    const opened = this.#newStream(id);
    this.#promise(opened, head.fields, end);
    if (end) opened.onEnd(NONE);
    this.#options.onRequest?.(opened, head, end);
  }

  #promise(stream: Stream, fields: HeaderList, end: boolean): void {
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] !== "content-length") continue;
      const text = fields[i + 1] ?? "";
      const known = stream.promised;
      if (!/^[0-9]{1,15}$/.test(text) || (known >= 0 && known !== Number(text))) {
        return this.#refuse(stream, "content-length is no number, or two");
      }
      stream.promised = Number(text);
    }
    if (end && stream.promised > 0) this.#refuse(stream, "content-length without content");
  }

  #refuse(stream: Stream, why: string): never {
    throw new StreamError(stream.id, "PROTOCOL_ERROR", why);
  }

  /** Trailers, or a reply's head. */
  #onMoreHeaders(stream: Stream, head: Head, end: boolean): void {
    if (stream.remoteEnded) throw new StreamError(stream.id, "STREAM_CLOSED", "HEADERS behind END_STREAM");
    if (this.#options.role === "client" && !stream.headSeen) return this.#onReplyHead(stream, head, end);
    const wrong = end ? head.trailersFault : "trailers without END_STREAM";
    if (wrong !== undefined || head.tooLarge)
      throw new StreamError(stream.id, "PROTOCOL_ERROR", wrong ?? "too large");
    this.#countPromised(stream, 0, true);
    stream.onEnd(head.fields);
  }

  #onReplyHead(stream: Stream, head: Head, end: boolean): void {
    const wrong = head.tooLarge ? "the reply head is too large" : head.replyFault;
    if (wrong !== undefined) throw new StreamError(stream.id, "PROTOCOL_ERROR", wrong);
    const interim = head.fields[1]?.startsWith("1") === true;
    if (interim && end)
      throw new StreamError(stream.id, "PROTOCOL_ERROR", "an interim reply with END_STREAM");
    stream.headSeen = !interim;
    stream.events?.replied?.(head, end);
    if (end) stream.onEnd(NONE);
  }

  #onPriority({ start, end, stream }: Frame): void {
    if (stream === 0) throw new ConnectionError("PROTOCOL_ERROR", "PRIORITY on stream 0");
    if (end - start !== 5) throw new StreamError(stream, "FRAME_SIZE_ERROR", "PRIORITY must have 5 bytes");
    this.#counts.spend("empty");
  }

  #onReset(bytes: Buffer, frame: Frame): void {
    if (frame.end - frame.start !== 4)
      throw new ConnectionError("FRAME_SIZE_ERROR", "RST_STREAM must have 4 bytes");
    const stream = this.#known(frame);
    this.#spendReset();
    stream?.onReset(bytes.readUInt32BE(frame.start));
  }

  #onSettings(bytes: Buffer, frame: Frame): void {
    const settings = readSettings(bytes, frame);
    if (settings === undefined) {
      if (!this.#settled) throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS must come before its ACK");
      return;
    }
    this.#counts.spend("answers");
    if (settings.tableBytes !== undefined) this.#encoder.allow(settings.tableBytes);
    if (settings.maxStreams !== undefined) this.#maxStreamsOut = settings.maxStreams;
    if (settings.windowBytes !== undefined) this.#applyWindow(settings.windowBytes);
    this.#writer.settingsAck();
    if (!this.#settled) this.#onFirstSettings();
    this.#pumpAll();
  }

  #onFirstSettings(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.onState?.("ready");
  }

  /** RFC 9113, section 6.9.2: it changes the windows of all streams, even to below zero. */
  #applyWindow(value: number): void {
    const change = value - this.#initialSendWindow;
    this.#initialSendWindow = value;
    for (const stream of this.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > LARGEST_WINDOW)
        throw new ConnectionError("FLOW_CONTROL_ERROR", "a window beyond its maximum");
      if (stream.hasQueue) this.#waiting.add(stream);
    }
  }

  #onPing(bytes: Buffer, { flags, stream, start, end }: Frame): void {
    if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "PING on a stream");
    if (end - start !== 8) throw new ConnectionError("FRAME_SIZE_ERROR", "PING must have 8 bytes");
    if ((flags & FLAG.ACK) !== 0) return this.#onPingAck();
    this.#counts.spend("answers");
    this.#writer.ping(bytes.subarray(start, end), true);
  }

  /** The second step of a graceful end: now the peer knows, and the last stream is the last. */
  #onPingAck(): void {
    if (!this.#goingAway || this.#goawayAnswered) return;
    this.#goawayAnswered = true;
    this.#writer.goaway(this.#lastIn, "NO_ERROR", "");
    this.#endIfIdle();
  }

  #onGoaway(bytes: Buffer, { stream, start, end }: Frame): void {
    if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "GOAWAY on a stream");
    if (end - start < 8) throw new ConnectionError("FRAME_SIZE_ERROR", "GOAWAY must have 8 bytes");
    const last = readUInt31(bytes, start);
    this.#peerLeaves = true;
    if (this.#options.role === "client") {
      this.#goingAway = true;
      this.#options.onState?.("goaway");
      // RFC 9113, section 6.8: what is beyond was not processed.
      for (const opened of this.streams.values()) if (opened.id > last) opened.onReset(CODE.REFUSED_STREAM);
    }
    this.#endIfIdle();
  }

  #onWindowUpdate(bytes: Buffer, frame: Frame): void {
    if (frame.end - frame.start !== 4)
      throw new ConnectionError("FRAME_SIZE_ERROR", "WINDOW_UPDATE must have 4 bytes");
    const bytesMore = readUInt31(bytes, frame.start);
    // By the byte they are an attack; by the kilobyte they are what a reader of a large reply sends.
    if (bytesMore < SMALL_UPDATE) this.#counts.spend("updates");
    if (frame.stream === 0) {
      if (bytesMore === 0) throw new ConnectionError("PROTOCOL_ERROR", "a WINDOW_UPDATE of nothing");
      this.#sendWindow += bytesMore;
      if (this.#sendWindow > LARGEST_WINDOW)
        throw new ConnectionError("FLOW_CONTROL_ERROR", "a window beyond its maximum");
      return this.#pumpAll();
    }
    const stream = this.#known(frame);
    if (stream === undefined) return;
    if (bytesMore === 0) throw new StreamError(stream.id, "PROTOCOL_ERROR", "a WINDOW_UPDATE of nothing");
    stream.sendWindow += bytesMore;
    if (stream.sendWindow > LARGEST_WINDOW)
      throw new StreamError(stream.id, "FLOW_CONTROL_ERROR", "a window beyond its maximum");
    if (stream.hasQueue) stream.pump();
  }

  /** A worker may refuse what it likes; a client that makes us work for nothing may do so only so often. */
  #spendReset(): void {
    if (this.#options.role === "server") this.#counts.spend("resets");
  }

  /** The stream of a frame; undefined when it is closed. Throws for one that was never opened (RFC 9113, section 5.1). */
  #known(frame: Frame): Stream | undefined {
    const stream = this.streams.get(frame.stream);
    if (stream === undefined) this.#checkNotIdle(frame.stream);
    return stream;
  }

  #checkNotIdle(id: number): void {
    const opened =
      this.#options.role === "server"
        ? id % 2 === 1 && id <= this.#lastIn
        : id % 2 === 1 && id < this.#nextOut;
    if (!opened) throw new ConnectionError("PROTOCOL_ERROR", `a frame for stream ${id}, which is idle`);
  }

  #newStream(id: number): Stream {
    const stream = new Stream(this, id, this.#initialSendWindow, this.#options.streamWindow);
    this.streams.set(id, stream);
    return stream;
  }

  /** We reset a stream because of what its peer did: its receiver must hear of it. */
  #resetBy(stream: Stream, code: ErrorCode): void {
    this.sendReset(stream.id, code);
    stream.onReset(CODE[code]);
  }

  #endIfIdle(): void {
    if (!(this.#goingAway || this.#peerLeaves) || this.streams.size > 0 || this.#dead) return;
    this.#dead = true;
    this.#writer.flush();
    this.socket.end();
  }

  #onClose(): void {
    this.#dead = true;
    clearTimeout(this.#timer);
    this.#abandon();
    this.#options.onState?.("closed");
  }

  #abandon(): void {
    for (const stream of this.streams.values()) stream.onReset(CODE.CANCEL);
  }
}
