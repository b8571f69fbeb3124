import type { Frame } from "./frame.ts";
import { ConnectionError, HEAD_BYTES, TYPE, readUInt31 } from "./frame.ts";

const EMPTY = Buffer.alloc(0);
/** Where in a frame's head its type is. */
const TYPE_AT = 3;

/**
 * Cuts what a connection reads into frames.
 *
 *   head (9 bytes) ─▶ payload (as long as the head says) ─▶ head
 *
 * A frame that lies whole in one read is handed on as a view of it; only one that straddles two reads is copied, into a buffer
 * that is used again and again. Either way it is valid during the call only.
 */
export class FrameReader {
  readonly #maxPayload: number;
  readonly #onFrame: (bytes: Buffer, frame: Frame) => void;
  /** The one frame object: handed out again and again. */
  readonly #frame: Frame = { type: 0, flags: 0, stream: 0, start: 0, end: 0 };
  /** The beginning of a frame whose rest is still to come. */
  #carry: Buffer = EMPTY;
  #carried = 0;

  /** `maxPayload` is our SETTINGS_MAX_FRAME_SIZE. */
  constructor(maxPayload: number, onFrame: (bytes: Buffer, frame: Frame) => void) {
    this.#maxPayload = maxPayload;
    this.#onFrame = onFrame;
  }

  /** True while a frame of a head has begun and is not whole. */
  get isInHead(): boolean {
    if (this.#carried <= TYPE_AT) return false;
    return this.#carry[TYPE_AT] === TYPE.HEADERS || this.#carry[TYPE_AT] === TYPE.CONTINUATION;
  }

  /** Bytes of memory for a frame whose rest is still to come. */
  get held(): number {
    return this.#carried === 0 ? 0 : this.#carry.length;
  }

  /** Throws FRAME_SIZE_ERROR for a frame that is too long (RFC 9113, section 4.2), and what `onFrame` throws. */
  push(bytes: Buffer): void {
    let at = this.#carried === 0 ? 0 : this.#complete(bytes);
    while (bytes.length - at >= HEAD_BYTES) {
      const total = HEAD_BYTES + this.#length(bytes, at);
      if (bytes.length - at < total) break;
      this.#emit(bytes, at, total);
      at += total;
    }
    if (at < bytes.length) this.#keep(bytes, at);
  }

  /** Fills up the frame that an earlier read began; answers how far into `bytes` it went. */
  #complete(bytes: Buffer): number {
    let at = 0;
    if (this.#carried < HEAD_BYTES) {
      at = this.#take(bytes, at, HEAD_BYTES);
      if (this.#carried < HEAD_BYTES) return at;
    }
    const total = HEAD_BYTES + this.#length(this.#carry, 0);
    at = this.#take(bytes, at, total);
    if (this.#carried < total) return at;
    this.#carried = 0;
    this.#emit(this.#carry, 0, total);
    return at;
  }

  /** Copies until `wanted` bytes are carried, or there are no more. */
  #take(bytes: Buffer, at: number, wanted: number): number {
    const end = Math.min(bytes.length, at + wanted - this.#carried);
    this.#grow(wanted);
    bytes.copy(this.#carry, this.#carried, at, end);
    this.#carried += end - at;
    return end;
  }

  #keep(bytes: Buffer, at: number): void {
    const left = bytes.length - at;
    this.#grow(left < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + this.#length(bytes, at));
    bytes.copy(this.#carry, this.#carried, at);
    this.#carried += left;
  }

  #grow(bytes: number): void {
    if (this.#carry.length >= bytes) return;
    const larger = Buffer.allocUnsafeSlow(bytes);
    this.#carry.copy(larger, 0, 0, this.#carried);
    this.#carry = larger;
  }

  #length(bytes: Buffer, at: number): number {
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    if (length > this.#maxPayload)
      throw new ConnectionError("FRAME_SIZE_ERROR", `a frame of ${length} bytes`);
    return length;
  }

  #emit(bytes: Buffer, at: number, total: number): void {
    const frame = this.#frame;
    frame.type = bytes[at + 3] ?? 0;
    frame.flags = bytes[at + 4] ?? 0;
    frame.stream = readUInt31(bytes, at + 5);
    frame.start = at + HEAD_BYTES;
    frame.end = at + total;
    this.#onFrame(bytes, frame);
  }
}
