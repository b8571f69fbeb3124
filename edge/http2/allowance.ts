import type { HeaderList } from "../exchange.ts";
import { listBytes } from "./fields.ts";
import { DEFAULT_FRAME_BYTES, LARGEST_WINDOW } from "./frame.ts";
import type { PeerSettings } from "./settings.ts";

/** Streams that a worker is taken to allow before it has said how many (RFC 9113, section 6.5.2, advises against less). */
const UNTOLD_STREAMS = 100;

/**
 * Bytes of the largest head that a worker is sent, whatever it says: its block is HEADERS and at most 8 CONTINUATION frames, and
 * nghttp2, which is Node's, ends a connection with more of them.
 */
const MOST_HEAD_BYTES = 9 * DEFAULT_FRAME_BYTES;

const NONE: HeaderList = [];

/** What a worker allows us on a connection, as far as its SETTINGS have told (client role). */
export class Allowance {
  /** At a time. */
  streams: number;
  /** Bytes that a head may have, counted as in RFC 9113, section 6.5.2. */
  #headBytes: number;
  /** The lists that were last found to fit: those of a call that is made again and again. */
  #fields: HeaderList | undefined;
  #pseudo: HeaderList | undefined;

  /** `before` is what the same worker has told on another connection. */
  constructor(before?: Allowance) {
    this.streams = before?.streams ?? UNTOLD_STREAMS;
    this.#headBytes = before === undefined ? MOST_HEAD_BYTES : before.#headBytes;
  }

  /** SETTINGS have come. What the first ones do not name has no limit but ours. */
  tell({ maxStreams, headBytes }: PeerSettings, isFirst: boolean): void {
    if (maxStreams !== undefined || isFirst) this.streams = maxStreams ?? LARGEST_WINDOW;
    if (headBytes === undefined && !isFirst) return;
    this.#headBytes = Math.min(headBytes ?? MOST_HEAD_BYTES, MOST_HEAD_BYTES);
    this.#fields = this.#pseudo = undefined;
  }

  /**
   * False for a head, or trailers, that the worker would not take: for one that is too large some workers end the connection, and
   * with it the calls of everybody.
   */
  takes(fields: HeaderList, pseudo: HeaderList = NONE): boolean {
    if (fields === this.#fields && pseudo === this.#pseudo) return true;
    if (listBytes(pseudo) + listBytes(fields) > this.#headBytes) return false;
    this.#fields = fields;
    this.#pseudo = pseudo;
    return true;
  }
}
