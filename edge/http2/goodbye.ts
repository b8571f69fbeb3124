import type { FrameWriter } from "./frame-writer.ts";
import { LARGEST_WINDOW } from "./frame.ts";

/**
 * How a connection comes to its end without refusing what is under way (RFC 9113, section 6.8).
 *
 *            drain()                    PING answered                 the last stream ends
 *   open ─────────────▶ said (GOAWAY  ───────────────▶ told (GOAWAY ─────────────────────▶ over
 *     │                 for all ids, PING)              with the last id)                    ▲
 *     └── the peer says GOAWAY ─────────────────────────────────────── its last stream ends ─┘
 */
export class Goodbye {
  #said = false;
  #told = false;
  /** A client that said GOAWAY may still open streams, but once it has none, it is done. */
  #peerLeaves = false;

  /** True when the connection is to end with its last stream: no other one is on its way. */
  get isComing(): boolean {
    return this.#told || this.#peerLeaves;
  }

  /** True when no stream of ours may be opened any more. */
  get isSaid(): boolean {
    return this.#said;
  }

  /** True when a stream that the peer still opens is opened against better knowledge. */
  get isTold(): boolean {
    return this.#told;
  }

  /**
   * The first step. By the time the PING is answered, the peer has read the GOAWAY before it. With `ours`, the streams are ours and
   * the peer opens none: one GOAWAY says it all. It names no stream, since ours are not the peer's to be counted, and nghttp2
   * ends a connection on which a client names an odd one.
   */
  say(writer: FrameWriter, ours: boolean): void {
    this.#said = true;
    if (ours) return void this.tell(writer, 0);
    writer.goaway(LARGEST_WINDOW, "NO_ERROR", "");
    writer.ping(ASK, false);
  }

  /** The second step; answers whether it was taken now. */
  tell(writer: FrameWriter, lastId: number): boolean {
    if (!this.#said || this.#told) return false;
    this.#told = true;
    writer.goaway(lastId, "NO_ERROR", "");
    return true;
  }

  /** The peer said GOAWAY. With `ours`, the streams are ours, and no further one may be opened. */
  heard(ours: boolean): void {
    this.#peerLeaves = true;
    if (ours) this.#said = true;
  }
}

const ASK = Buffer.alloc(8);
