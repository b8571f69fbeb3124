import type { HeaderList } from "../../exchange.ts";
import { isFinalStatus } from "../../headers.ts";
import { BodyReader } from "../../message/body-reader.ts";
import { FieldBlock } from "../../message/field-block.ts";
import type { FieldReader } from "../../message/fields.ts";
import type { KnownHeads } from "../../message/known-heads.ts";
import type { Asked, ReplyFraming } from "./framing.ts";
import { replyFraming } from "./framing.ts";
import { WORKER_FAULTS, garbage } from "./garbage.ts";

/** What a parser tells of a reply. Its end is not told: `isDone` says so. */
export interface ReplyEvents {
  inform(status: number, headers: HeaderList): void;
  /** `end` is true when no body follows. */
  head(status: number, headers: HeaderList, end: boolean): void;
  /** `chunk` is a view of the bytes that were pushed. */
  data(chunk: Buffer): void;
}

/** The head of a final reply, and what it says of its connection. */
export interface FinalHead {
  readonly status: number;
  readonly headers: HeaderList;
  readonly framing: ReplyFraming;
}

/** Interim replies before the final one: more is a worker gone wrong. */
const MAX_INTERIM = 100;

const PREFIX = "HTTP/1.";
const STATUS_LINE = /^HTTP\/1\.([01]) ([0-9]{3})(?: .*)?$/;
const NO_STATUS_LINE = "no HTTP/1.1 status line";

type State = "idle" | "head" | "body" | "upgraded";

/**
 * The replies of one connection, one after the other (RFC 9112). Bytes in, events out, no I/O; how the bytes are cut makes
 * no difference. What is not plainly valid throws `upstream_garbage`: between two hops, guessing is how replies are split.
 *
 *            begin()         head, 1xx ↺
 *   idle/done ─────▶ head ──┬──▶ body (see BodyReader), then done
 *                           └──▶ upgraded (101)
 */
export class ReplyParser {
  /** True once a byte of the current reply has come. */
  hasBegun = false;
  /** The fields of a 101. */
  upgradeHeaders: HeaderList = [];

  readonly #headBlock: FieldBlock;
  readonly #fields: FieldReader;
  readonly #known: KnownHeads<FinalHead>;
  readonly #mayEndByClose: boolean;
  readonly #body: BodyReader;
  #state: State = "idle";
  #asked: Asked | undefined;
  /** Of a reply to HEAD the same bytes mean something else. */
  #isHead = false;
  #events: ReplyEvents | undefined;
  #framing: ReplyFraming | undefined;
  #minorVersion = 1;
  #status = 0;
  /** Bytes of PREFIX that have come. */
  #prefix = 0;
  #interim = 0;

  /**
   * `headBytes` is the bytes that a head may have; trailers may have as many. `fields` and `known` may be shared by all
   * connections to a worker. Without `mayEndByClose` a reply must say itself where it ends.
   */
  constructor(
    headBytes: number,
    fields: FieldReader,
    known: KnownHeads<FinalHead>,
    mayEndByClose: boolean = true,
  ) {
    this.#headBlock = new FieldBlock(headBytes, WORKER_FAULTS, (line) => this.#onStatusLine(line));
    this.#fields = fields;
    this.#known = known;
    this.#mayEndByClose = mayEndByClose;
    this.#body = new BodyReader(headBytes, WORKER_FAULTS, fields, (chunk) => this.#events?.data(chunk));
  }

  get isDone(): boolean {
    return this.#state === "body" && this.#body.isOver;
  }

  /** Of the reply that is done. */
  get trailers(): HeaderList {
    return this.#body.trailers;
  }

  /** True until the head of the reply is whole; interim ones (1xx) do not count. */
  get awaitsHead(): boolean {
    return this.#state === "head";
  }

  get isUpgraded(): boolean {
    return this.#state === "upgraded";
  }

  /** Milliseconds the connection may stay idle after this reply; 0 when it must not be used again. */
  get idleMs(): number {
    return this.#framing?.idleMs ?? 0;
  }

  /** A request has gone out: what comes next is its reply. */
  begin(asked: Asked, events: ReplyEvents): void {
    this.#asked = asked;
    this.#isHead = asked.method === "HEAD";
    this.#events = events;
    this.#state = "head";
    this.#interim = 0;
    this.#framing = undefined;
    this.hasBegun = false;
  }

  /** Takes bytes. Answers how many were of this reply: fewer than there are when it is done, or upgraded. */
  push(bytes: Buffer): number {
    if (bytes.length > 0) this.hasBegun = true;
    let at = 0;
    while (at < bytes.length && !this.isDone && this.#state !== "upgraded") at = this.#step(bytes, at);
    return at;
  }

  /** The worker has ended the connection. False when that cut its reply short. */
  finish(): boolean {
    return this.#state === "body" && this.#body.finish();
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "head":
        return this.#readHead(bytes, at);
      case "body":
        return this.#body.push(bytes, at);
      default:
        throw garbage("bytes that nobody asked for");
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const isWhole = this.#prefix === 0;
    const again = isWhole && !this.#isHead ? this.#known.find(bytes, at) : undefined;
    if (again !== undefined) {
      this.#begin(again.value);
      return at + again.length;
    }
    if (this.#prefix < PREFIX.length) this.#checkPrefix(bytes, at);
    const next = this.#headBlock.push(bytes, at);
    if (next === -1) return bytes.length;
    this.#prefix = 0;
    const final = this.#onHead(this.#fields.read(this.#headBlock.text));
    if (final === undefined) return next;
    if (isWhole && !this.#isHead) this.#known.keep(bytes, at, next, final);
    this.#begin(final);
    return next;
  }

  /** What speaks another protocol may never end its line: it is not waited for. */
  #checkPrefix(bytes: Buffer, at: number): void {
    for (let i = at; i < bytes.length && this.#prefix < PREFIX.length; i++) {
      if (bytes[i] !== PREFIX.charCodeAt(this.#prefix++)) throw garbage(NO_STATUS_LINE);
    }
  }

  /** RFC 9112, section 4. The reason says nothing to anybody; without one the space before it may lack, too. */
  #onStatusLine(line: string): void {
    const match = STATUS_LINE.exec(line);
    if (match === null) throw garbage(NO_STATUS_LINE);
    this.#minorVersion = Number(match[1]);
    this.#status = Number(match[2]);
    if (!isFinalStatus(this.#status) && match[2]?.startsWith("1") !== true) {
      throw garbage(`the status ${match[2]}`);
    }
  }

  /** What the head of a final reply says; undefined for another one, which has been dealt with. */
  #onHead(headers: HeaderList): FinalHead | undefined {
    const status = this.#status;
    if (status === 101) this.#onUpgrade(headers);
    else if (status < 200) this.#onInterim(headers);
    else {
      const framing = replyFraming(this.#minorVersion, status, headers, this.#asked?.method ?? "GET");
      if (framing.body === "until-close" && !this.#mayEndByClose)
        throw garbage("a reply over TLS without a length");
      return { status, headers, framing };
    }
    return undefined;
  }

  #begin({ status, headers, framing }: FinalHead): void {
    this.#framing = framing;
    this.#state = "body";
    this.#body.begin(framing.body);
    this.#events?.head(status, headers, framing.body === "none");
  }

  /** RFC 9110, section 15.2: any number of them may come, and none has a body. */
  #onInterim(headers: HeaderList): void {
    if (++this.#interim > MAX_INTERIM) throw garbage(`more than ${MAX_INTERIM} interim replies`);
    this.#events?.inform(this.#status, headers);
  }

  /** RFC 9110, section 7.8: only what was asked for may be switched to. */
  #onUpgrade(headers: HeaderList): void {
    if (this.#asked?.upgrade !== true || this.#minorVersion === 0)
      throw garbage("a 101 that nobody asked for");
    this.upgradeHeaders = headers;
    this.#state = "upgraded";
  }
}
