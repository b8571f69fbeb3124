import type { Counts } from "./counts.ts";
import { MAX_CONTINUATIONS } from "./counts.ts";
import type { Frame } from "./frame.ts";
import { ConnectionError, FLAG, TYPE, withoutPadding } from "./frame.ts";
import type { Decoded } from "./hpack/decoder.ts";
import { Decoder } from "./hpack/decoder.ts";
import { HpackError } from "./hpack/error.ts";

/** A header block, whole and decoded. */
export interface HeaderBlock {
  readonly stream: number;
  readonly end: boolean;
  readonly head: Decoded;
}

/** A block whose CONTINUATION frames are still to come. */
interface Unfinished {
  readonly stream: number;
  readonly end: boolean;
  readonly fragments: Buffer[];
  bytes: number;
}

/** Puts HEADERS and CONTINUATION frames together and decodes them, in the order they come (RFC 9113, section 4.3). */
export class HeaderBlocks {
  readonly #decoder: Decoder;
  readonly #maxHeadBytes: number;
  readonly #counts: Counts;
  #unfinished: Unfinished | undefined;

  constructor(tableBytes: number, maxHeadBytes: number, counts: Counts) {
    this.#decoder = new Decoder(tableBytes, maxHeadBytes);
    this.#maxHeadBytes = maxHeadBytes;
    this.#counts = counts;
  }

  /** RFC 9113, section 6.10: nothing may come between the frames of a header block. */
  check(frame: Frame): void {
    const block = this.#unfinished;
    if (block === undefined || (frame.type === TYPE.CONTINUATION && frame.stream === block.stream)) return;
    throw new ConnectionError("PROTOCOL_ERROR", "a header block that is not finished");
  }

  /** Undefined when more frames are to come. */
  headers(bytes: Buffer, frame: Frame): HeaderBlock | undefined {
    if (frame.stream === 0) throw new ConnectionError("PROTOCOL_ERROR", "HEADERS on stream 0");
    const payload = withoutPadding(bytes, frame);
    // Priority is deprecated (RFC 9113, section 5.3.2): its bytes are passed over.
    const start = payload.start + ((frame.flags & FLAG.PRIORITY) === 0 ? 0 : 5);
    if (start > payload.end)
      throw new ConnectionError("FRAME_SIZE_ERROR", "HEADERS too short for its priority");
    const { stream } = frame;
    const end = (frame.flags & FLAG.END_STREAM) !== 0;
    if ((frame.flags & FLAG.END_HEADERS) !== 0)
      return { stream, end, head: this.#decode(bytes, start, payload.end) };
    const fragment = bytes.subarray(start, payload.end);
    this.#unfinished = { stream, end, fragments: [fragment], bytes: fragment.length };
    return undefined;
  }

  /** Undefined when more frames are to come. */
  continuation(bytes: Buffer, frame: Frame): HeaderBlock | undefined {
    const block = this.#unfinished;
    if (block === undefined) throw new ConnectionError("PROTOCOL_ERROR", "CONTINUATION without HEADERS");
    if (frame.start === frame.end) this.#counts.spend("empty");
    block.fragments.push(bytes.subarray(frame.start, frame.end));
    block.bytes += frame.end - frame.start;
    // CVE-2024-27316. Compressed bytes are never more than a few beyond what they stand for.
    if (block.fragments.length > MAX_CONTINUATIONS || block.bytes > this.#maxHeadBytes * 2) {
      throw new ConnectionError("ENHANCE_YOUR_CALM", "too_many_continuations");
    }
    if ((frame.flags & FLAG.END_HEADERS) === 0) return undefined;
    this.#unfinished = undefined;
    const whole = Buffer.concat(block.fragments, block.bytes);
    return { stream: block.stream, end: block.end, head: this.#decode(whole, 0, whole.length) };
  }

  #decode(bytes: Buffer, start: number, end: number): Decoded {
    try {
      return this.#decoder.decode(bytes, start, end);
    } catch (thrown) {
      if (!(thrown instanceof HpackError)) throw thrown;
      throw new ConnectionError("COMPRESSION_ERROR", thrown.message);
    }
  }
}
