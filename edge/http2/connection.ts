import type { Socket } from "node:net";
import type { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import type { Counted } from "./counts.ts";
import { Counts } from "./counts.ts";
import { ReceiveWindow } from "./flow.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
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
import { Goodbye } from "./goodbye.ts";
import type { Head, HeaderBlock } from "./header-blocks.ts";
import { HeaderBlocks } from "./header-blocks.ts";
import { Encoder } from "./hpack/encoder.ts";
import type { LimitName, Limits } from "../limits.ts";
import { EXCEEDED } from "../limits.ts";
import { countData, takeReply, takeRequest, takeTrailers } from "./messages.ts";
import { SendWindows } from "./send-windows.ts";
import { readSettings } from "./settings.ts";
import { StreamTable } from "./stream-table.ts";
import { Stream } from "./stream.ts";
import { Watch } from "./watch.ts";

/** Bytes of each direction's dynamic table (RFC 9113's default for SETTINGS_HEADER_TABLE_SIZE). */
const TABLE_BYTES = 4096;

/** Bytes below which a WINDOW_UPDATE counts as one that is sent to keep us busy. */
const SMALL_UPDATE = 256;

/** Streams that a worker is sure to take before it has said how many (RFC 9113, section 6.5.2, advises against less). */
const UNTOLD_STREAMS = 100;

const NONE: HeaderList = [];

export interface ConnectionOptions {
  readonly role: "server" | "client";
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxStreams: number;
  readonly maxHeadBytes: number;
  readonly connectProtocol: boolean;
  readonly limits: Limits;
  /** Hears of each limit that the peer exceeded. */
  readonly exceeded: (limit: LimitName) => void;
  /** Makes the error that a receiver hears when the peer resets its stream or vanishes. */
  readonly abortedBy: (code: number) => EdgeError;
  /** A request has come (server role). One whose head is `tooLarge` is incomplete and must not be served. */
  readonly onRequest?: (stream: Stream, head: Head, end: boolean) => void;
  /** The peer's SETTINGS are there, or it said GOAWAY, or the connection is gone. */
  readonly onState?: (state: "ready" | "goaway" | "closed") => void;
}

/** One HTTP/2 connection, either role (RFC 9113): takes frames, opens and forgets streams. Bodies live in the streams. */
export class Connection {
  readonly streams = new StreamTable<Stream>();
  readonly socket: Socket;
  readonly windows = new SendWindows();
  /** What leaves, and in which frames; the rules are its callers'. */
  readonly writer: FrameWriter;
  readonly abortedBy: (code: number) => EdgeError;

  readonly #options: ConnectionOptions;
  readonly #reader: FrameReader;
  readonly #blocks: HeaderBlocks;
  readonly #encoder: Encoder;
  readonly #counts: Counts;
  readonly #window: ReceiveWindow;
  readonly #goodbye = new Goodbye();
  readonly #watch: Watch;
  readonly #mayWrite = (): boolean => !this.writer.isFull;
  #settled = false;
  #maxStreamsOut = UNTOLD_STREAMS;
  /** The highest stream id that the peer opened, or that we did. */
  #lastIn = 0;
  #nextOut = 1;
  #dead = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    const { limits, role, maxHeadBytes } = options;
    this.socket = socket;
    this.abortedBy = options.abortedBy;
    this.#options = options;
    this.#reader = new FrameReader(DEFAULT_FRAME_BYTES, (bytes, frame) => this.#onFrame(bytes, frame));
    this.#counts = new Counts(limits, () => performance.now());
    this.#blocks = new HeaderBlocks(TABLE_BYTES, maxHeadBytes, limits.continuations, this.#counts);
    this.#window = new ReceiveWindow(options.connectionWindow);
    this.#encoder = new Encoder({ maxTableBytes: TABLE_BYTES, huffman: role === "server" });
    this.writer = new FrameWriter(socket, this.#encoder, () => this.#pump());
    this.#watch = new Watch(this, limits);
    socket.on("drain", () => {
      this.writer.drained();
      this.#pump();
    });
    socket.once("close", () => this.#onClose());
    this.#sendSettings();
    this.#watch.expect("SETTINGS_TIMEOUT", "no SETTINGS in time");
  }

  /** True when a stream may be opened (client role): ids are 31 bits, and none comes twice. */
  get isOpen(): boolean {
    return !this.#goodbye.isSaid && !this.#dead && this.#nextOut < LARGEST_WINDOW;
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
    this.#watch.heard();
    try {
      this.#reader.push(bytes);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      this.fail(thrown.code, thrown.message, thrown.limit);
    }
  }

  /** Time has passed: `ms` milliseconds since the last call. */
  tick(ms: number): void {
    this.writer.drained();
    if (this.#dead) this.#watch.tickDying(ms);
    else this.#watch.tick(ms);
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    this.writer.ping(Buffer.alloc(8), false);
  }

  /** A connection error: GOAWAY says what it was, then the end (RFC 9113, section 5.4.1). */
  fail(code: ErrorCode, debug: string, limit?: LimitName): void {
    if (this.#dead) return;
    if (limit !== undefined) this.#options.exceeded(limit);
    this.writer.goaway(this.#lastIn, code, debug);
    this.writer.flush();
    this.#dead = true;
    this.socket.destroySoon();
    this.#abandon();
  }

  /** One stream's peer exceeded a limit: the stream ends, the connection goes on. */
  refuse(stream: Stream, limit: LimitName): void {
    this.#options.exceeded(limit);
    this.#resetBy(stream, "ENHANCE_YOUR_CALM");
  }

  /** Takes no further streams; ends with the last one. */
  drain(): void {
    if (this.#goodbye.isSaid || this.#dead) return;
    this.#goodbye.say(this.writer);
    this.#endIfDone();
  }

  /** Ends at once, with `limit` where that is why. */
  destroy(limit?: LimitName): void {
    if (limit !== undefined) this.#options.exceeded(limit);
    this.#dead = true;
    this.socket.destroy();
    this.#abandon();
  }

  forget(stream: Stream): void {
    this.streams.delete(stream.id);
    this.windows.forget(stream);
    this.#endIfDone();
  }

  // === sending

  /** Sends what may be sent of a chunk from `at` on, a frame at most; answers how many bytes that was. */
  sendData(stream: Stream, chunk: Buffer, at: number): number {
    if (this.writer.isFull) return 0;
    const bytes = this.writer.data(stream.id, chunk, at, this.windows.room(stream));
    this.windows.take(stream, bytes);
    return bytes;
  }

  #sendSettings(): void {
    const { role, streamWindow, connectionWindow, maxStreams, maxHeadBytes, connectProtocol } = this.#options;
    const settings: [id: number, value: number][] = [
      [SETTING.INITIAL_WINDOW_SIZE, streamWindow],
      [SETTING.MAX_HEADER_LIST_SIZE, maxHeadBytes],
      role === "server" ? [SETTING.MAX_CONCURRENT_STREAMS, maxStreams] : [SETTING.ENABLE_PUSH, 0],
    ];
    if (role === "server" && connectProtocol) settings.push([SETTING.ENABLE_CONNECT_PROTOCOL, 1]);
    this.writer.settings(settings);
    this.writer.windowUpdate(0, connectionWindow - DEFAULT_WINDOW);
  }

  #pump(): void {
    this.windows.pump(this.#mayWrite);
  }

  // === receiving

  #onFrame(bytes: Buffer, frame: Frame): void {
    // What lies behind the frame that ended the connection.
    if (this.#dead) return;
    if (!this.#settled && frame.type !== TYPE.SETTINGS)
      throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS must come first");
    this.#blocks.check(frame);
    try {
      this.#dispatch(bytes, frame);
    } catch (thrown) {
      if (thrown instanceof ConnectionError) throw thrown;
      // Anything but an error of the protocol is a mistake of ours: it costs its stream, not the process.
      this.#onStreamError(
        thrown instanceof StreamError ? thrown : new StreamError(frame.stream, "INTERNAL_ERROR", ""),
      );
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

  #onStreamError({ stream: id, code, limit }: StreamError): void {
    if (limit !== undefined) this.#options.exceeded(limit);
    this.#spend("resets");
    const stream = this.streams.get(id);
    if (stream === undefined) this.writer.reset(id, code);
    else this.#resetBy(stream, code);
  }

  #onData(bytes: Buffer, frame: Frame): void {
    const { start, end } = withoutPadding(bytes, frame);
    const stream = this.#known(frame);
    const counted = frame.end - frame.start;
    const ends = (frame.flags & FLAG.END_STREAM) !== 0;
    if (counted === 0 && !ends) this.#spend("empty");
    else this.#counts.earn("answers");
    this.#takeConnectionWindow(counted);
    // After a reset of ours the peer may go on for a while: that counts for the connection, and for nothing else.
    if (stream === undefined) return;
    if (stream.remoteEnded) throw new StreamError(stream.id, "STREAM_CLOSED", "DATA behind END_STREAM");
    if (!stream.window.take(counted)) {
      throw new StreamError(stream.id, "FLOW_CONTROL_ERROR", "more DATA than the window");
    }
    if (counted > end - start) stream.consume(counted - (end - start));
    countData(stream, end - start, ends);
    if (end > start) stream.onData(bytes.subarray(start, end));
    if (ends) stream.onEnd(NONE);
  }

  /** The connection's window is given back at once: a stream that nobody reads must not hold up the others. */
  #takeConnectionWindow(bytes: number): void {
    if (!this.#window.take(bytes)) {
      throw new ConnectionError("FLOW_CONTROL_ERROR", "more DATA than the connection's window");
    }
    const told = this.#window.give(bytes);
    if (told > 0) this.writer.windowUpdate(0, told);
  }

  #onBlock(block: HeaderBlock | undefined): void {
    if (block === undefined)
      return this.#watch.expect("ENHANCE_YOUR_CALM", "a header block that does not end");
    if (this.#settled) this.#watch.came();
    this.#counts.earn("answers");
    const { stream: id, head, end } = block;
    const stream = this.streams.get(id);
    if (stream === undefined) return this.#onNewHead(id, head, end);
    if (stream.remoteEnded) throw new StreamError(id, "STREAM_CLOSED", "HEADERS behind END_STREAM");
    const isReply = this.#options.role === "client" && !stream.headSeen;
    if (isReply) takeReply(stream, head, end);
    else takeTrailers(stream, head, end);
  }

  /** A head for no stream that there is: a request, or a latecomer for one that is closed. */
  #onNewHead(id: number, head: Head, end: boolean): void {
    if (this.#options.role === "client") return this.#checkNotIdle(id);
    // RFC 9113, section 5.1.1: clients use odd ids, and each is higher than the last.
    if (id % 2 === 0) throw new ConnectionError("PROTOCOL_ERROR", "an even stream id");
    if (id <= this.#lastIn) return this.#spend("resets");
    this.#lastIn = id;
    if (this.#goodbye.isTold) return;
    if (this.streams.size >= this.#options.maxStreams)
      throw new StreamError(id, "REFUSED_STREAM", "too many streams", "streams");
    if (head.tooLarge) this.#options.exceeded("head_bytes");
    const fault = head.tooLarge ? undefined : head.requestFault;
    if (fault !== undefined) throw new StreamError(id, "PROTOCOL_ERROR", fault);
    const opened = this.#newStream(id);
    takeRequest(opened, head, end);
    this.#options.onRequest?.(opened, head, end);
  }

  #onPriority({ start, end, stream }: Frame): void {
    if (stream === 0) throw new ConnectionError("PROTOCOL_ERROR", "PRIORITY on stream 0");
    if (end - start !== 5) throw new StreamError(stream, "FRAME_SIZE_ERROR", "PRIORITY must have 5 bytes");
    this.#spend("empty");
  }

  #onReset(bytes: Buffer, frame: Frame): void {
    if (frame.end - frame.start !== 4)
      throw new ConnectionError("FRAME_SIZE_ERROR", "RST_STREAM must have 4 bytes");
    const stream = this.#known(frame);
    this.#spend("resets");
    stream?.onReset(bytes.readUInt32BE(frame.start));
  }

  #onSettings(bytes: Buffer, frame: Frame): void {
    const settings = readSettings(bytes, frame);
    if (settings === undefined) {
      if (!this.#settled) throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS must come before its ACK");
      return;
    }
    this.#spendAnswer();
    for (const tableBytes of settings.tableBytes) this.#encoder.allow(tableBytes);
    if (settings.maxStreams !== undefined || !this.#settled)
      this.#maxStreamsOut = settings.maxStreams ?? LARGEST_WINDOW;
    if (settings.windowBytes !== undefined)
      this.windows.applyInitial(settings.windowBytes, this.streams.all());
    this.writer.settingsAck();
    if (!this.#settled) this.#onFirstSettings();
    // There may be more room for streams than before.
    this.#options.onState?.("ready");
    this.#pump();
  }

  #onFirstSettings(): void {
    this.#settled = true;
    this.#watch.came();
  }

  #onPing(bytes: Buffer, { flags, stream, start, end }: Frame): void {
    if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "PING on a stream");
    if (end - start !== 8) throw new ConnectionError("FRAME_SIZE_ERROR", "PING must have 8 bytes");
    if ((flags & FLAG.ACK) !== 0) {
      if (this.#goodbye.tell(this.writer, this.#lastIn)) this.#endIfDone();
      return;
    }
    this.#spendAnswer();
    this.writer.ping(bytes.subarray(start, end), true);
  }

  #onGoaway(bytes: Buffer, { stream, start, end }: Frame): void {
    if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "GOAWAY on a stream");
    if (end - start < 8) throw new ConnectionError("FRAME_SIZE_ERROR", "GOAWAY must have 8 bytes");
    const last = readUInt31(bytes, start);
    const isClient = this.#options.role === "client";
    this.#goodbye.heard(isClient);
    if (isClient) {
      this.#options.onState?.("goaway");
      // RFC 9113, section 6.8: what is beyond was not processed.
      for (const opened of this.streams.all()) if (opened.id > last) opened.onReset(CODE.REFUSED_STREAM);
    }
    this.#endIfDone();
  }

  #onWindowUpdate(bytes: Buffer, frame: Frame): void {
    if (frame.end - frame.start !== 4)
      throw new ConnectionError("FRAME_SIZE_ERROR", "WINDOW_UPDATE must have 4 bytes");
    const more = readUInt31(bytes, frame.start);
    // By the byte they are an attack; by the kilobyte they are what a reader of a large reply sends.
    if (more < SMALL_UPDATE) this.#spend("updates");
    if (frame.stream === 0) {
      this.windows.widen(more);
      return this.#pump();
    }
    const stream = this.#known(frame);
    if (stream !== undefined) this.windows.widenStream(stream, more);
  }

  /** A worker may do what it likes; a client that makes us work for nothing may do so only so often. */
  #spend(what: Counted): void {
    if (this.#options.role === "server") this.#counts.spend(what);
  }

  /** Answers that are not read must not pile up, however well they were earned (CVE-2019-9512). */
  #spendAnswer(): void {
    this.#spend("answers");
    if (this.writer.isFull) throw new ConnectionError("ENHANCE_YOUR_CALM", EXCEEDED.answers, "answers");
  }

  /** The stream of a frame; undefined when it is closed. Throws for one that was never opened (RFC 9113, section 5.1). */
  #known(frame: Frame): Stream | undefined {
    const stream = this.streams.get(frame.stream);
    if (stream === undefined) this.#checkNotIdle(frame.stream);
    return stream;
  }

  #checkNotIdle(id: number): void {
    const opened =
      id % 2 === 1 && (this.#options.role === "server" ? id <= this.#lastIn : id < this.#nextOut);
    if (!opened) throw new ConnectionError("PROTOCOL_ERROR", `a frame for stream ${id}, which is idle`);
  }

  // === beginnings and ends

  #newStream(id: number): Stream {
    const stream = new Stream(this, id, this.windows.initial, this.#options.streamWindow);
    this.streams.add(stream);
    return stream;
  }

  /** We reset a stream because of what its peer did: its receiver must hear of it. */
  #resetBy(stream: Stream, code: ErrorCode): void {
    this.writer.reset(stream.id, code);
    stream.onReset(CODE[code]);
  }

  #endIfDone(): void {
    if (!this.#goodbye.isComing || this.streams.size > 0 || this.#dead) return;
    this.#dead = true;
    this.writer.flush();
    this.socket.end();
  }

  #onClose(): void {
    this.#dead = true;
    this.#watch.came();
    this.#abandon();
    this.#options.onState?.("closed");
  }

  #abandon(): void {
    for (const stream of this.streams.all()) stream.onReset(CODE.CANCEL);
  }
}
