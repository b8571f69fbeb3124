import type { Socket } from "node:net";
import type { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import type { Allowance } from "./allowance.ts";
import type { ErrorCode } from "./frame.ts";
import {
  CODE,
  ConnectionError,
  DEFAULT_TABLE_BYTES,
  DEFAULT_WINDOW,
  LARGEST_WINDOW,
  SETTING,
} from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { Holder } from "../exchange.ts";
import { EXCEEDED } from "../limits.ts";
import { Goodbye } from "./goodbye.ts";
import type { Head } from "./header-blocks.ts";
import { Encoder } from "./hpack/encoder.ts";
import { Intake } from "./intake.ts";
import type { LimitName, Limits } from "../limits.ts";
import { SendWindows } from "./send-windows.ts";
import type { PeerSettings } from "./settings.ts";
import { StreamTable } from "./stream-table.ts";
import { Stream } from "./stream.ts";
import { Watch } from "./watch.ts";

/**
 * Streams that are reset on one connection to a worker before it gets no more. Workers end connections with too many (CVE-2023-44487:
 * Node's after 1000 at once, Netty's after 200 in 30 s), and with them everybody's calls, whoever's client it was that left.
 */
const MOST_RESETS = 100;

export interface ConnectionOptions {
  readonly role: "server" | "client";
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxStreams: number;
  /** What the worker allows, until it says so itself (client role). */
  readonly allowance?: Allowance;
  readonly maxHeadBytes: number;
  readonly connectProtocol: boolean;
  readonly limits: Limits;
  /** Hears of each limit that the peer exceeded. */
  readonly exceeded: (limit: LimitName) => void;
  /** Makes the error that a receiver hears when the peer resets its stream or vanishes. */
  readonly abortedBy: (code: number) => EdgeError;
  /** A request has come (server role). One whose head is `tooLarge` is incomplete and must not be served. */
  readonly onRequest?: (stream: Stream, head: Head, end: boolean) => void;
  /** The peer's SETTINGS are there, or its window opens again; or it said GOAWAY, or the connection is gone. */
  readonly onState?: (state: "ready" | "goaway" | "closed") => void;
}

/**
 * One HTTP/2 connection, either role (RFC 9113): opens and forgets streams, and has its beginning and its end. What comes in is
 * its Intake's; bodies live in the streams.
 */
export class Connection implements Holder {
  readonly streams = new StreamTable<Stream>();
  readonly socket: Socket;
  readonly windows = new SendWindows();
  /** What leaves, and in which frames; the rules are its callers'. */
  readonly writer: FrameWriter;
  /** What the peer has to do, and by when. */
  readonly watch: Watch;
  readonly abortedBy: (code: number) => EdgeError;
  /** What the worker allows (client role). */
  readonly allowance: Allowance | undefined;
  /** The id of the next stream that we open (client role). */
  nextStream = 1;

  readonly #options: ConnectionOptions;
  readonly #intake: Intake;
  readonly #encoder: Encoder;
  readonly #goodbye = new Goodbye();
  readonly #mayWrite = (): boolean => !this.writer.isFull;
  #dead = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.socket = socket;
    this.abortedBy = options.abortedBy;
    this.#options = options;
    this.allowance = options.allowance;
    this.#intake = new Intake(this, options);
    this.#encoder = new Encoder({ maxTableBytes: DEFAULT_TABLE_BYTES, huffman: options.role === "server" });
    this.writer = new FrameWriter(socket, this.#encoder, () => this.pump());
    this.watch = new Watch(this, options.limits);
    socket.on("drain", () => {
      this.writer.drained();
      this.pump();
    });
    socket.on("close", () => this.#onClose());
    this.#sendSettings();
    this.watch.expectSettings();
  }

  /** True when a stream may be opened (client role): ids are 31 bits, and none comes twice. */
  get isOpen(): boolean {
    const isUsedUp = this.nextStream >= LARGEST_WINDOW || this.writer.resets >= MOST_RESETS;
    return !isUsedUp && !this.#goodbye.isSaid && !this.#dead;
  }

  /** True once the connection is over, but for what has yet to leave. */
  get isDead(): boolean {
    return this.#dead;
  }

  /** True when the peer knows which stream of its own was the last (server role). */
  get isTold(): boolean {
    return this.#goodbye.isTold;
  }

  /** True when the worker allows another stream (client role). */
  get hasRoom(): boolean {
    return this.room > 0;
  }

  /** Streams that may be opened beside those that there are (client role); not above 0 when none may. */
  get room(): number {
    return (this.allowance?.streams ?? 0) - this.streams.size;
  }

  /** False while the peer takes no further DATA on any stream (RFC 9113, section 6.9.1). */
  get isFlowing(): boolean {
    return this.windows.connection > 0;
  }

  /** True when a stream may be opened now, and its DATA flows (client role). */
  get isFree(): boolean {
    return this.isOpen && this.hasRoom && this.isFlowing;
  }

  get held(): number {
    let bytes = this.#intake.held + this.writer.held;
    if (this.streams.size > 0) for (const stream of this.streams.all()) bytes += stream.held;
    return bytes;
  }

  /** Opens a stream (client role). */
  open(pseudo: HeaderList, fields: HeaderList, neverIndexed: readonly string[]): Stream {
    const stream = this.begin(this.nextStream);
    this.nextStream += 2;
    stream.sendHead(pseudo, fields, false, neverIndexed);
    return stream;
  }

  /** Bytes have come. Never throws: what is wrong with them ends a stream or the connection. */
  receive(bytes: Buffer): void {
    if (this.#dead) return;
    this.watch.heard();
    try {
      this.#intake.push(bytes);
      this.watch.awaitHead(this.#intake.headUnderWay);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      this.fail(thrown.code, thrown.message, thrown.limit);
    }
  }

  /** Time has passed: `ms` milliseconds since the last call. */
  tick(ms: number): void {
    this.writer.drained();
    if (this.#dead) this.watch.tickDying(ms);
    else this.watch.tick(ms);
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    this.writer.ping(Buffer.alloc(8), false);
  }

  /** A connection error: GOAWAY says what it was, then the end (RFC 9113, section 5.4.1). */
  fail(code: ErrorCode, debug: string, limit?: LimitName): void {
    if (this.#dead) return;
    if (limit !== undefined) this.#options.exceeded(limit);
    this.writer.goaway(this.#intake.lastStream, code, debug);
    this.writer.flush();
    this.#dead = true;
    this.socket.destroySoon();
    this.#expectEnd();
    this.#abandon();
  }

  /** One stream's peer exceeded a limit: the stream ends, the connection goes on. */
  refuse(stream: Stream, limit: LimitName): void {
    this.#options.exceeded(limit);
    this.resetBy(stream, "ENHANCE_YOUR_CALM");
  }

  /** Takes no further streams; ends with the last one. */
  drain(): void {
    if (this.#goodbye.isSaid || this.#dead) return;
    this.#goodbye.say(this.writer, this.#options.role === "client");
    if (this.#options.role === "server") this.watch.expectPong();
    this.#endIfDone();
  }

  /** Nothing has come for as long as it may: it ends as by a drain. */
  leaveIdle(): void {
    if (!this.#goodbye.isSaid) this.#options.exceeded("idle");
    this.drain();
  }

  /** Ends at once, with `limit` where that is why. */
  destroy(limit?: LimitName): void {
    if (limit !== undefined) this.#options.exceeded(limit);
    this.#dead = true;
    this.socket.destroy();
    this.#abandon();
  }

  /** Who has not taken what was said before would not hear why, and what waits for it would stay. */
  shed(): void {
    if (!this.#dead && this.socket.writableLength === 0) return this.fail("ENHANCE_YOUR_CALM", EXCEEDED.held);
    this.#dead = true;
    this.socket.resetAndDestroy();
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

  /** There may be more room: lets those send that wait for it. */
  pump(): void {
    this.windows.pump(this.#mayWrite);
  }

  // === what the peer says of the connection

  /** SETTINGS: how the peer may be sent to. */
  onSettings(settings: PeerSettings, isFirst: boolean): void {
    for (const tableBytes of settings.tableBytes) this.#encoder.allow(tableBytes);
    this.allowance?.tell(settings, isFirst);
    if (settings.windowBytes !== undefined)
      this.windows.applyInitial(settings.windowBytes, this.streams.all());
    this.writer.settingsAck();
    // There may be more room for streams than before.
    this.#options.onState?.("ready");
    this.pump();
  }

  /** WINDOW_UPDATE: all streams together may be sent so many bytes more. */
  onWindow(bytes: number): void {
    const wasFlowing = this.isFlowing;
    this.windows.widen(bytes);
    this.pump();
    if (!wasFlowing) this.#options.onState?.("ready");
  }

  /** The answer to a PING of ours, or the time for it is over: what was said before it has been read. */
  onPong(): void {
    if (this.#goodbye.tell(this.writer, this.#intake.lastStream)) this.#endIfDone();
  }

  /** GOAWAY: the peer takes no streams beyond `last`. */
  onGoaway(last: number): void {
    const isClient = this.#options.role === "client";
    this.#goodbye.heard(isClient);
    if (isClient) {
      this.#options.onState?.("goaway");
      // RFC 9113, section 6.8: what is beyond was not processed.
      for (const opened of this.streams.all()) if (opened.id > last) opened.onReset(CODE.REFUSED_STREAM);
    }
    this.#endIfDone();
  }

  // === beginnings and ends

  /** Begins a stream, whichever end opened it. */
  begin(id: number): Stream {
    const stream = new Stream(this, id, this.windows.initial, this.#options.streamWindow);
    this.streams.add(stream);
    return stream;
  }

  /** We reset a stream because of what its peer did: its receiver must hear of it. */
  resetBy(stream: Stream, code: ErrorCode): void {
    this.writer.reset(stream.id, code);
    stream.onReset(CODE[code]);
  }

  #endIfDone(): void {
    if (!this.#goodbye.isComing || this.streams.size > 0 || this.#dead) return;
    this.#dead = true;
    this.writer.flush();
    this.socket.end();
    this.#expectEnd();
  }

  /** Nobody ticks a connection to a worker. */
  #expectEnd(): void {
    if (this.#options.role === "client") this.watch.expectEnd();
  }

  #onClose(): void {
    this.#dead = true;
    this.watch.stop();
    this.#abandon();
    this.#options.onState?.("closed");
  }

  #abandon(): void {
    for (const stream of this.streams.all()) stream.onReset(CODE.CANCEL);
  }
}
