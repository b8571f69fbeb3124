import type { HeaderList, RequestHead } from "../exchange.ts";
import type { Counts } from "./counts.ts";
import { checkReply, checkRequest, checkTrailers, contentLengthOf } from "./fields.ts";
import type { Frame } from "./frame.ts";
import { ConnectionError, FLAG, TYPE, withoutPadding } from "./frame.ts";
import type { Decoded } from "./hpack/decoder.ts";
import { EXCEEDED } from "../limits.ts";
import { Decoder } from "./hpack/decoder.ts";
import { memoryOf, ownCopy } from "../waiting.ts";
import { HpackError } from "./hpack/error.ts";

/** A header block, whole and decoded. */
export interface HeaderBlock {
  readonly stream: number;
  readonly end: boolean;
  readonly head: Head;
}

/** Bytes of the largest block that is remembered: one with an ID token in it should fit. */
const MAX_REMEMBERED_BYTES = 2048;
/** Bytes of decoded heads that are remembered: a few bytes of a block can stand for many, and more is made of them. */
const MAX_HEADS_BYTES = 32_768;

/** A decoded head. The same block gives the same Head again, and with it what was found out about it. */
export class Head implements Decoded {
  readonly fields: readonly string[];
  readonly neverIndexed: readonly string[];
  readonly listBytes: number;
  readonly tooLarge: boolean;
  /** What the layer above made of it: as a request with a body and without, as a reply. */
  open: RequestHead | undefined;
  complete: RequestHead | undefined;
  reply: HeaderList | undefined;

  #requestFault: string | undefined | null = null;
  #replyFault: string | undefined | null = null;
  #trailersFault: string | undefined | null = null;
  #contentLength: number | undefined;

  constructor({ fields, neverIndexed, listBytes, tooLarge }: Decoded) {
    this.fields = fields;
    this.neverIndexed = neverIndexed;
    this.listBytes = listBytes;
    this.tooLarge = tooLarge;
  }

  /** What is wrong with it as a request, if anything. */
  get requestFault(): string | undefined {
    if (this.#requestFault === null) this.#requestFault = checkRequest(this.fields);
    return this.#requestFault;
  }

  get replyFault(): string | undefined {
    if (this.#replyFault === null) this.#replyFault = checkReply(this.fields);
    return this.#replyFault;
  }

  get trailersFault(): string | undefined {
    if (this.#trailersFault === null) this.#trailersFault = checkTrailers(this.fields);
    return this.#trailersFault;
  }

  /** As contentLengthOf. */
  get contentLength(): number {
    return (this.#contentLength ??= contentLengthOf(this.fields));
  }
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
  readonly #maxContinuations: number;
  readonly #counts: Counts;
  #unfinished: Unfinished | undefined;
  /** By the block's bytes; good for one version of the table. */
  readonly #remembered = new Map<string, Head>();
  #rememberedBytes = 0;
  #version = 0;

  constructor(tableBytes: number, maxHeadBytes: number, maxContinuations: number, counts: Counts) {
    this.#decoder = new Decoder(tableBytes, maxHeadBytes);
    this.#maxHeadBytes = maxHeadBytes;
    this.#maxContinuations = maxContinuations;
    this.#counts = counts;
  }

  /** True while CONTINUATION frames are to come. */
  get isUnfinished(): boolean {
    return this.#unfinished !== undefined;
  }

  /** Bytes of memory of a block that is not finished. */
  get held(): number {
    return memoryOf(this.#unfinished?.fragments);
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
    const fragment = ownCopy(bytes.subarray(start, payload.end));
    this.#unfinished = { stream, end, fragments: [fragment], bytes: fragment.length };
    return undefined;
  }

  /** Undefined when more frames are to come. */
  continuation(bytes: Buffer, frame: Frame): HeaderBlock | undefined {
    const block = this.#unfinished;
    if (block === undefined) throw new ConnectionError("PROTOCOL_ERROR", "CONTINUATION without HEADERS");
    if (frame.start === frame.end) this.#counts.spend("empty");
    block.fragments.push(ownCopy(bytes.subarray(frame.start, frame.end)));
    block.bytes += frame.end - frame.start;
    // CVE-2024-27316. Compressed bytes are never more than a few beyond what they stand for. The first one is from HEADERS.
    if (block.fragments.length - 1 > this.#maxContinuations || block.bytes > this.#maxHeadBytes * 2) {
      throw new ConnectionError("ENHANCE_YOUR_CALM", EXCEEDED.continuations, "continuations");
    }
    if ((frame.flags & FLAG.END_HEADERS) === 0) return undefined;
    this.#unfinished = undefined;
    const whole = Buffer.concat(block.fragments, block.bytes);
    return { stream: block.stream, end: block.end, head: this.#decode(whole, 0, whole.length) };
  }

  #decode(bytes: Buffer, start: number, end: number): Head {
    const key = end - start > MAX_REMEMBERED_BYTES ? undefined : bytes.latin1Slice(start, end);
    const known = key === undefined ? undefined : this.#remembered.get(key);
    if (known !== undefined) return known;
    const head = this.#read(bytes, start, end);
    if (this.#version !== this.#decoder.version) {
      // The block changed the table: what the others meant is no longer sure.
      this.#version = this.#decoder.version;
      this.#remembered.clear();
      this.#rememberedBytes = 0;
    } else if (key !== undefined && this.#rememberedBytes + head.listBytes <= MAX_HEADS_BYTES) {
      this.#rememberedBytes += head.listBytes;
      this.#remembered.set(key, head);
    }
    return head;
  }

  #read(bytes: Buffer, start: number, end: number): Head {
    try {
      return new Head(this.#decoder.decode(bytes, start, end));
    } catch (thrown) {
      if (!(thrown instanceof HpackError)) throw thrown;
      throw new ConnectionError("COMPRESSION_ERROR", thrown.message);
    }
  }
}
