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

  readonly #header = Buffer.alloc(14);
  #have = 0;
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
    this.#header[this.#have++] = chunk[at] ?? 0;
    if (this.#have >= 2 && this.#have === headerLength(this.#header)) {
      if (((this.#header[0] ?? 0) & 0x0f) === CLOSE) this.closing = true;
      this.#payload = payloadLength(this.#header);
      this.#have = 0;
    }
    return at + 1;
  }
}

function headerLength(header: Buffer): number {
  const second = header[1] ?? 0;
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (second >= 0x80 ? 4 : 0);
}

function payloadLength(header: Buffer): number {
  const short = (header[1] ?? 0) & 0x7f;
  if (short === 126) return header.readUInt16BE(2);
  return short === 127 ? Number(header.readBigUInt64BE(2)) : short;
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
