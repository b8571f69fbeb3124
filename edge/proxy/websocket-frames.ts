/** Opcode of a Close frame (RFC 6455, section 5.2). */
const CLOSE = 8;

/**
 * Follows the frames of one direction of a tunnel without touching them, so that the edge knows when it may put a
 * frame of its own between two of the worker's (RFC 6455, section 5.2).
 *
 *   header (2 bytes) ─▶ extended length (0, 2 or 8) ─▶ mask (0 or 4) ─▶ payload ─▶ header
 */
export class FrameTracker {
  /** True once a Close frame has begun: nothing may follow it. */
  closing = false;

  /** Bytes of the header under way that have come, and all that it has, which its second byte says. */
  #have = 0;
  #headerBytes = 2;
  #opcode = 0;
  /** The payload's length, as far as the header has told it. */
  #length = 0;
  #lengthBytes = 0;
  /** Bytes of the payload that are still to come. */
  #payload = 0;

  /** True between two frames. */
  get atBoundary(): boolean {
    return this.#have === 0 && this.#payload === 0;
  }

  /** Bytes of `chunk` up to the end of the frame it starts in; all of it when that frame goes on. */
  untilBoundary(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      at = this.#step(chunk, at);
      if (this.atBoundary) return at;
    }
    return at;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) at = this.#step(chunk, at);
  }

  #step(chunk: Buffer, at: number): number {
    if (this.#payload > 0) {
      const taken = Math.min(this.#payload, chunk.length - at);
      this.#payload -= taken;
      return at + taken;
    }
    this.#onHeaderByte(chunk[at] ?? 0);
    return at + 1;
  }

  #onHeaderByte(byte: number): void {
    const at = this.#have++;
    if (at === 0) this.#opcode = byte & 0x0f;
    else if (at === 1) this.#onLength(byte & 0x7f, byte >= 0x80);
    else if (at < 2 + this.#lengthBytes) this.#length = this.#length * 256 + byte;
    if (at === 0 || this.#have < this.#headerBytes) return;
    if (this.#opcode === CLOSE) this.closing = true;
    this.#payload = this.#length;
    this.#have = 0;
  }

  /** What `short` does not hold follows in 2 or 8 bytes. */
  #onLength(short: number, isMasked: boolean): void {
    this.#lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    this.#length = this.#lengthBytes === 0 ? short : 0;
    this.#headerBytes = 2 + this.#lengthBytes + (isMasked ? 4 : 0);
  }
}

/** An unmasked Close frame, as servers send it. `reason` is cut to what a control frame holds (RFC 6455, section 5.5). */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason).subarray(0, 123);
  const frame = Buffer.alloc(4 + text.length);
  frame[0] = 0x80 | CLOSE;
  frame[1] = 2 + text.length;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}
