import type { Connection } from "./connection.ts";
import type { Limits } from "../limits.ts";
import { PROGRESS_BYTES } from "../limits.ts";
import { Progress } from "../port/progress.ts";

/** Milliseconds for the answer to the PING of a goodbye: some round trips (RFC 9113, section 6.8: "at least one"). */
const PONG_MS = 1000;

/**
 * The clock of one connection: what the peer has to do, and by when. It is driven from outside, once for all connections
 * together, but for what has to come soon.
 */
export class Watch {
  readonly #connection: Connection;
  readonly #limits: Limits;
  /** The peer's SETTINGS, and its ACK of ours. */
  #settings: NodeJS.Timeout | undefined;
  /** The rest of a head, and which one that is: 0 for none. */
  #head: NodeJS.Timeout | undefined;
  #headNumber = 0;
  #pong: NodeJS.Timeout | undefined;
  #end: NodeJS.Timeout | undefined;
  /** Milliseconds since the peer was last heard, as far as the ticks tell. */
  #quietMs = 0;
  #asked = false;
  /** Milliseconds since progress was last looked at. */
  #lookedMs = 0;
  readonly #progress: Progress;
  /** True when all that was said before the end had left at the last look. */
  #hasLeft = false;

  constructor(connection: Connection, limits: Limits) {
    this.#connection = connection;
    this.#limits = limits;
    this.#progress = new Progress(connection.socket);
  }

  /** Ours are on their way: the peer says its own, and that it has heard (RFC 9113, section 6.5.3); `settled` ends that. */
  expectSettings(): void {
    this.#settings = this.#in(() =>
      this.#connection.fail("SETTINGS_TIMEOUT", "no SETTINGS, or no ACK of ours, in time", "head_time"),
    );
  }

  settled(): void {
    clearTimeout(this.#settings);
  }

  /**
   * Which head has begun and is not complete, counted from 1; 0 when none has. It has its time from its first byte on, in however
   * many frames, and however small the pieces of these.
   */
  awaitHead(number: number): void {
    if (number === this.#headNumber) return;
    this.#headNumber = number;
    clearTimeout(this.#head);
    if (number === 0) return;
    this.#head = this.#in(() =>
      this.#connection.fail("ENHANCE_YOUR_CALM", "a header block that does not end", "head_time"),
    );
  }

  /** What the peer opened before it read our GOAWAY is on its way until it answers the PING behind that, or has had time to. */
  expectPong(): void {
    this.#pong = setTimeout(() => this.#connection.onPong(), PONG_MS);
  }

  /** All is said: the peer ends its direction, too, or loses the connection. */
  expectEnd(): void {
    this.settled();
    this.#end = this.#in(() => this.#connection.destroy());
  }

  /** The connection is closed: nothing is expected any more. */
  stop(): void {
    for (const timer of [this.#settings, this.#head, this.#pong, this.#end]) clearTimeout(timer);
  }

  #in(act: () => void): NodeJS.Timeout {
    return setTimeout(act, this.#limits.headMs);
  }

  heard(): void {
    this.#quietMs = 0;
    this.#asked = false;
  }

  tick(ms: number): void {
    this.#quietMs += ms;
    this.#lookedMs += ms;
    if (this.#lookedMs >= this.#limits.stallMs) this.#look();
    if (this.#connection.streams.size === 0) this.#onIdle();
    else this.#onQuiet();
  }

  /** The connection is over, but for bytes that the peer has yet to read, and then for its own end. */
  tickDying(ms: number): void {
    this.#lookedMs += ms;
    if (this.#lookedMs < this.#limits.stallMs) return;
    this.#lookedMs = 0;
    if (this.#progress.isStalled()) return this.#connection.destroy("stall");
    if (this.#hasLeft) return this.#connection.destroy();
    this.#hasLeft = this.#connection.socket.writableLength === 0;
  }

  /** Who reads nothing at all loses the connection; who leaves one stream's window shut, or opens it by the byte, that stream. */
  #look(): void {
    this.#lookedMs = 0;
    const { streams, windows } = this.#connection;
    if (this.#progress.isStalled()) return this.#connection.destroy("stall");
    for (const stream of streams.all()) {
      // It waits for the peer, and not for its turn among others.
      const isStalled = stream.isStalled(PROGRESS_BYTES);
      if (isStalled && windows.room(stream) <= 0) this.#connection.refuse(stream, "stall");
    }
  }

  #onIdle(): void {
    if (this.#quietMs < this.#limits.idleMs) return;
    this.#quietMs = 0;
    this.#connection.leaveIdle();
  }

  /** A peer that vanished without a word (no FIN, no RST) is told from a silent one by a PING that stays unanswered. */
  #onQuiet(): void {
    const { quietMs, headMs } = this.#limits;
    if (this.#quietMs < quietMs) return;
    // Its PING would wait behind all the rest: whether it still reads is what tells.
    if (this.#connection.socket.writableLength > 0) return this.heard();
    if (!this.#asked) {
      this.#asked = true;
      return this.#connection.ping();
    }
    if (this.#quietMs >= quietMs + headMs) this.#connection.destroy("quiet");
  }
}
