import type { HeaderList } from "../exchange.ts";
import { EXCEEDED } from "../limits.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { checkPing, checkPriority, readGoaway, readReset, readWindowUpdate } from "./control-frames.ts";
import type { Counted } from "./counts.ts";
import { Counts } from "./counts.ts";
import { ReceiveWindow } from "./flow.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Frame } from "./frame.ts";
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_TABLE_BYTES,
  FLAG,
  StreamError,
  TYPE,
  withoutPadding,
} from "./frame.ts";
import type { Head, HeaderBlock } from "./header-blocks.ts";
import { HeaderBlocks } from "./header-blocks.ts";
import { countData, takeReply, takeRequest, takeTrailers } from "./messages.ts";
import { readSettings } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** Bytes below which a WINDOW_UPDATE counts as one that is sent to keep us busy. */
const SMALL_UPDATE = 256;

/** Answers that may wait for a peer that does not read. */
const MOST_UNREAD = 100;

const NONE: HeaderList = [];

/**
 * What the peer of one connection sends, frame by frame (RFC 9113, section 6): it is checked, counted, and handed to the stream
 * or the connection that it is meant for.
 */
export class Intake {
  /** The highest id of a stream of the peer's that was taken. */
  lastStream = 0;
  /** The highest that it opened, which may have been too late (RFC 9113, section 6.8). */
  #lastOpened = 0;

  readonly #connection: Connection;
  readonly #options: ConnectionOptions;
  readonly #reader: FrameReader;
  readonly #blocks: HeaderBlocks;
  readonly #counts: Counts;
  readonly #window: ReceiveWindow;
  /** True once the peer's first SETTINGS have come, and true once its ACK of ours has. */
  #settled = false;
  #acknowledged = false;
  /** Heads that are complete. */
  #heads = 0;
  /** Answers since the peer last read all there was. */
  #unread = 0;

  constructor(connection: Connection, options: ConnectionOptions) {
    const { limits, maxHeadBytes, connectionWindow } = options;
    this.#connection = connection;
    this.#options = options;
    this.#reader = new FrameReader(DEFAULT_FRAME_BYTES, (bytes, frame) => this.#onFrame(bytes, frame));
    this.#counts = new Counts(limits, () => performance.now());
    this.#blocks = new HeaderBlocks(DEFAULT_TABLE_BYTES, maxHeadBytes, limits.continuations, this.#counts);
    this.#window = new ReceiveWindow(connectionWindow);
  }

  /** Bytes of memory of what has come, and is not whole. */
  get held(): number {
    return this.#reader.held + this.#blocks.held;
  }

  /** Which head has begun and is not complete, counted from 1; 0 when none has. */
  get headUnderWay(): number {
    return this.#blocks.isUnfinished || this.#reader.isInHead ? this.#heads + 1 : 0;
  }

  /** Bytes have come. Throws a ConnectionError; what is wrong with a stream alone has ended that stream. */
  push(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  #onFrame(bytes: Buffer, frame: Frame): void {
    // What lies behind the frame that ended the connection.
    if (this.#connection.isDead) return;
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
        checkPriority(frame);
        return this.#spend("empty");
      case TYPE.RST_STREAM:
        return this.#onReset(bytes, frame);
      case TYPE.SETTINGS:
        return this.#onSettings(bytes, frame);
      case TYPE.PUSH_PROMISE:
        throw new ConnectionError("PROTOCOL_ERROR", "PUSH_PROMISE was not enabled");
      case TYPE.PING:
        return this.#onPing(bytes, frame);
      case TYPE.GOAWAY:
        this.#spend("empty");
        return this.#connection.onGoaway(readGoaway(bytes, frame));
      case TYPE.WINDOW_UPDATE:
        return this.#onWindowUpdate(bytes, frame);
      case TYPE.CONTINUATION:
        return this.#onBlock(this.#blocks.continuation(bytes, frame));
      default:
      // RFC 9113, section 5.5: what is unknown is ignored.
    }
  }

  #onStreamError({ stream: id, code, limit }: StreamError): void {
    const { streams, writer } = this.#connection;
    if (limit !== undefined) this.#options.exceeded(limit);
    this.#spend("resets");
    const stream = streams.get(id);
    if (stream === undefined) this.#checkNotIdle(id);
    if (stream === undefined) writer.reset(id, code);
    else this.#connection.resetBy(stream, code);
  }

  // === messages

  #onData(bytes: Buffer, frame: Frame): void {
    const { start, end } = withoutPadding(bytes, frame);
    const stream = this.#known(frame);
    const counted = frame.end - frame.start;
    const ends = (frame.flags & FLAG.END_STREAM) !== 0;
    if (start === end && !ends) this.#spend("empty");
    else this.#counts.earn("answers");
    this.#takeConnectionWindow(counted);
    // After a reset of ours the peer may go on for a while: that counts for the connection, and for nothing else.
    if (stream === undefined) return;
    if (stream.remoteEnded) throw new StreamError(stream.id, "STREAM_CLOSED", "DATA behind END_STREAM");
    // RFC 9113, section 8.1: a reply is its final head, and then what follows.
    if (this.#options.role === "client" && !stream.headSeen)
      throw new StreamError(stream.id, "PROTOCOL_ERROR", "DATA in front of the head");
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
    if (told > 0) this.#connection.writer.windowUpdate(0, told);
  }

  #onBlock(block: HeaderBlock | undefined): void {
    if (block === undefined) return;
    const { streams } = this.#connection;
    this.#heads++;
    this.#counts.earn("answers");
    const { stream: id, head, end } = block;
    const stream = streams.get(id);
    if (stream === undefined) return this.#onNewHead(id, head, end);
    if (stream.remoteEnded) throw new StreamError(id, "STREAM_CLOSED", "HEADERS behind END_STREAM");
    const isReply = this.#options.role === "client" && !stream.headSeen;
    if (isReply) takeReply(stream, head, end);
    else takeTrailers(stream, head, end);
  }

  /** A head for no stream that there is: a request, or a latecomer for one that is closed. */
  #onNewHead(id: number, head: Head, end: boolean): void {
    const connection = this.#connection;
    if (this.#options.role === "client") return this.#checkNotIdle(id);
    // RFC 9113, section 5.1.1: clients use odd ids, and each is higher than the last.
    if (id % 2 === 0) throw new ConnectionError("PROTOCOL_ERROR", "an even stream id");
    if (id <= this.#lastOpened) return this.#spend("resets");
    this.#lastOpened = id;
    if (connection.isTold) return;
    this.lastStream = id;
    if (connection.streams.size >= this.#options.maxStreams)
      throw new StreamError(id, "REFUSED_STREAM", "too many streams", "streams");
    if (head.tooLarge) this.#options.exceeded("head_bytes");
    const fault = head.tooLarge ? undefined : this.#requestFault(head);
    if (fault !== undefined) throw new StreamError(id, "PROTOCOL_ERROR", fault);
    const opened = connection.begin(id);
    takeRequest(opened, head, end);
    this.#options.onRequest?.(opened, head, end);
  }

  /** What was not offered is not known (RFC 9113, section 8.3; RFC 8441, section 3). */
  #requestFault(head: Head): string | undefined {
    const isOffered =
      this.#options.connectProtocol || !head.fields.some((text, at) => at % 2 === 0 && text === ":protocol");
    return isOffered ? head.requestFault : ":protocol without ENABLE_CONNECT_PROTOCOL";
  }

  #onReset(bytes: Buffer, frame: Frame): void {
    const code = readReset(bytes, frame);
    const stream = this.#known(frame);
    this.#spend("resets");
    stream?.onReset(code);
  }

  // === the connection

  #onSettings(bytes: Buffer, frame: Frame): void {
    const settings = readSettings(bytes, frame, this.#options.role === "server");
    const isFirst = !this.#settled;
    if (settings === undefined) {
      if (isFirst) throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS must come before its ACK");
      return this.#onSettingsAck();
    }
    this.#spendAnswer();
    this.#settled = true;
    this.#connection.onSettings(settings, isFirst);
  }

  /** We say SETTINGS once: what acknowledges more than that carries nothing. */
  #onSettingsAck(): void {
    if (this.#acknowledged) return this.#spend("empty");
    this.#acknowledged = true;
    this.#connection.watch.settled();
  }

  #onPing(bytes: Buffer, frame: Frame): void {
    checkPing(frame);
    if ((frame.flags & FLAG.ACK) !== 0) {
      this.#spend("empty");
      return this.#connection.onPong();
    }
    this.#spendAnswer();
    this.#connection.writer.ping(bytes.subarray(frame.start, frame.end), true);
  }

  #onWindowUpdate(bytes: Buffer, frame: Frame): void {
    const { windows } = this.#connection;
    const more = readWindowUpdate(bytes, frame);
    // By the byte they are an attack; by the kilobyte they are what a reader of a large reply sends.
    if (more < SMALL_UPDATE) this.#spend("updates");
    if (frame.stream === 0) return this.#connection.onWindow(more);
    const stream = this.#known(frame);
    if (stream !== undefined) windows.widenStream(stream, more);
  }

  // === what is allowed

  /** A worker may do what it likes; a client that makes us work for nothing may do so only so often. */
  #spend(what: Counted): void {
    if (this.#options.role === "server") this.#counts.spend(what);
  }

  /**
   * Answers that are not read must not pile up, however well they were earned (CVE-2019-9512). A few may wait behind bodies: who is
   * slow to read may ask all the same.
   */
  #spendAnswer(): void {
    this.#spend("answers");
    this.#unread = this.#connection.writer.isFull ? this.#unread + 1 : 0;
    if (this.#unread > MOST_UNREAD)
      throw new ConnectionError("ENHANCE_YOUR_CALM", EXCEEDED.answers, "answers");
  }

  /** The stream of a frame; undefined when it is closed. Throws for one that was never opened (RFC 9113, section 5.1). */
  #known(frame: Frame): Stream | undefined {
    const stream = this.#connection.streams.get(frame.stream);
    if (stream === undefined) this.#checkNotIdle(frame.stream);
    return stream;
  }

  #checkNotIdle(id: number): void {
    const opened = id % 2 === 1 && (id <= this.#lastOpened || id < this.#connection.nextStream);
    if (!opened) throw new ConnectionError("PROTOCOL_ERROR", `a frame for stream ${id}, which is idle`);
  }
}
