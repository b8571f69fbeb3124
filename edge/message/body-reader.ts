import type { HeaderList } from "../exchange.ts";
import { ChunkedBody } from "./chunked.ts";
import type { Faults } from "./faults.ts";
import { FieldBlock } from "./field-block.ts";
import type { FieldReader } from "./fields.ts";

/** How the body of a request is framed: not there, in chunks, or so many bytes. */
export type RequestBody = "none" | "chunked" | number;

/** How the body of a reply is framed: it may last until the end of its connection, too. */
export type ReplyBody = RequestBody | "until-close";

const NO_TRAILERS: HeaderList = [];

/**
 * The bodies of one connection's messages, one after the other, each with its trailers (RFC 9112, sections 6 and 7). Bytes in,
 * events out, no I/O; how the bytes are cut makes no difference.
 *
 *          begin()
 *   over ──────┬──▶ counted ─────────────┬──▶ over
 *              ├──▶ chunked ─▶ trailers ─┤
 *              ├──▶ until-close ─────────┤ finish()
 *              └──▶ (none) ──────────────┘
 */
export class BodyReader {
  /** Of the message whose body is over. */
  trailers: HeaderList = NO_TRAILERS;

  readonly #trailerBytes: number;
  readonly #faults: Faults;
  readonly #fields: FieldReader;
  readonly #onData: (chunk: Buffer) => void;
  #state: "counted" | "chunked" | "trailers" | "until-close" | "over" = "over";
  /** Bytes that a counted body still lacks. */
  #left = 0;
  #chunks: ChunkedBody | undefined;
  #trailerBlock: FieldBlock | undefined;

  /** `trailerBytes` is the bytes that trailers may have. `onData` gets bodies in views of the bytes that were pushed. */
  constructor(trailerBytes: number, faults: Faults, fields: FieldReader, onData: (chunk: Buffer) => void) {
    this.#trailerBytes = trailerBytes;
    this.#faults = faults;
    this.#fields = fields;
    this.#onData = onData;
  }

  /** True when the message is complete, its trailers included; already so while the last bytes of a counted body are told. */
  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Bytes of memory of trailers that are not complete. */
  get held(): number {
    return this.#trailerBlock?.held ?? 0;
  }

  /** A head has come: what follows is its body. */
  begin(body: ReplyBody): void {
    this.trailers = NO_TRAILERS;
    if (typeof body === "number") {
      this.#left = body;
      this.#state = body === 0 ? "over" : "counted";
    } else this.#state = body === "none" ? "over" : body;
  }

  /** Reads on from `at`. Answers the place up to which bytes were taken. Throws for what is no valid body. */
  push(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "counted":
        return this.#readCounted(bytes, at);
      case "chunked":
        return this.#readChunks(bytes, at);
      case "trailers":
        return this.#readTrailers(bytes, at);
      case "until-close":
        this.#onData(at === 0 ? bytes : bytes.subarray(at));
        return bytes.length;
      default:
        return at;
    }
  }

  /** The connection has ended. False when that cut the body short. */
  finish(): boolean {
    if (this.#state === "until-close") this.#state = "over";
    return this.#state === "over";
  }

  #readCounted(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = "over";
    this.#onData(bytes.subarray(at, end));
    return end;
  }

  #readChunks(bytes: Buffer, at: number): number {
    const chunks = (this.#chunks ??= new ChunkedBody(this.#faults));
    const next = chunks.push(bytes, at, this.#onData);
    if (chunks.isOver) {
      this.#chunks = undefined;
      this.#state = "trailers";
    }
    return next;
  }

  #readTrailers(bytes: Buffer, at: number): number {
    const block = (this.#trailerBlock ??= new FieldBlock(this.#trailerBytes, this.#faults));
    const next = block.push(bytes, at);
    if (next === -1) return bytes.length;
    this.trailers = this.#fields.read(block.text);
    this.#state = "over";
    return next;
  }
}
