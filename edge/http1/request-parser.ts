import type { HeaderList, RequestHead } from "../exchange.ts";
import { HeadMemo } from "../exchange.ts";
import type { RequestBody } from "../message/body-reader.ts";
import { BodyReader } from "../message/body-reader.ts";
import { FieldBlock } from "../message/field-block.ts";
import type { FieldReader } from "../message/fields.ts";
import { KnownHeads } from "../message/known-heads.ts";
import { CLIENT_FAULTS, malformed } from "./malformed.ts";
import { requestFraming } from "./request-framing.ts";
import type { RequestLine } from "./request-line.ts";
import { readRequestLine, readTarget } from "./request-line.ts";

/** A request as it was read: its head, and what that says of its connection. */
export interface ClientRequest {
  readonly head: RequestHead;
  readonly body: RequestBody;
  /** True when no request follows on this connection. */
  readonly isLast: boolean;
  /** True when the client holds its body back until it hears 100. */
  readonly awaitsContinue: boolean;
}

/** Empty lines that may come before a request: some clients send one behind a body (RFC 9112, section 2.2). */
const MAX_EMPTY_LINES = 4;

const CR = 0x0d;
const LF = 0x0a;

type State = "between" | "empty-line" | "head" | "body";

/**
 * The requests of one connection, one after the other (RFC 9112). Bytes in, events out, no I/O; how the bytes are cut makes
 * no difference. What is not plainly valid throws: between two hops, guessing is how requests are smuggled.
 *
 *            first byte       head complete
 *   between ────────────▶ head ─────────────▶ body (see BodyReader), then done ── next() ──▶ between
 *      ▲ │ CR
 *   LF │ ▼
 *   empty-line
 */
export class RequestParser {
  /** The request whose head is complete. */
  request: ClientRequest | undefined;

  readonly #headBlock: FieldBlock;
  readonly #fields: FieldReader;
  readonly #body: BodyReader;
  /** A client that asks again sends the same head, mostly: it gets the same request, with what was worked out from it (HeadMemo). */
  readonly #known = new KnownHeads<ClientRequest>(1);
  #state: State = "between";
  #line: RequestLine | undefined;
  #emptyLines = 0;

  /**
   * `headBytes` is the bytes that a head may have; trailers may have as many. `onData` gets the body in views of the bytes
   * that were pushed.
   */
  constructor(headBytes: number, fields: FieldReader, onData: (chunk: Buffer) => void) {
    this.#headBlock = new FieldBlock(headBytes, CLIENT_FAULTS, (line) => {
      this.#line = readRequestLine(line);
    });
    this.#fields = fields;
    this.#body = new BodyReader(headBytes, CLIENT_FAULTS, fields, onData);
  }

  /** True while nothing of a request has come. */
  get isBetween(): boolean {
    return this.#state === "between" || this.#state === "empty-line";
  }

  get isDone(): boolean {
    return this.#state === "body" && this.#body.isOver;
  }

  /** Bytes of memory of a head, or of trailers, that are not complete. */
  get held(): number {
    return this.#headBlock.held + this.#body.held;
  }

  /** Of the request that is done. */
  get trailers(): HeaderList {
    return this.#body.trailers;
  }

  /** The request has been dealt with: what comes next is another one. */
  next(): void {
    this.#state = "between";
    this.request = undefined;
    this.#emptyLines = 0;
  }

  /**
   * Reads on from `at`. Answers the place up to which bytes were taken, at the latest where the head ends, and where the
   * request does. Throws what the client is to be told.
   */
  push(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "between":
        return bytes[at] === CR ? this.#beginEmptyLine(at) : this.#beginHead(bytes, at);
      case "empty-line":
        if (bytes[at] !== LF) throw malformed("a bare CR");
        this.#state = "between";
        return at + 1;
      case "head":
        return this.#readHead(bytes, at);
      default:
        return this.#body.push(bytes, at);
    }
  }

  #beginEmptyLine(at: number): number {
    if (++this.#emptyLines > MAX_EMPTY_LINES) throw malformed("empty lines in place of a request");
    this.#state = "empty-line";
    return at + 1;
  }

  #beginHead(bytes: Buffer, at: number): number {
    const again = this.#known.find(bytes, at);
    if (again !== undefined) {
      this.#begin(again.value);
      return at + again.length;
    }
    this.#state = "head";
    const next = this.#readHead(bytes, at);
    if (this.request !== undefined) this.#known.keep(bytes, at, next, this.request);
    return next;
  }

  #readHead(bytes: Buffer, at: number): number {
    const next = this.#headBlock.push(bytes, at);
    if (next === -1) return bytes.length;
    const line = this.#line;
    if (line === undefined) throw malformed("no valid request line");
    this.#line = undefined;
    this.#begin(toRequest(line, this.#fields.read(this.#headBlock.text)));
    return next;
  }

  #begin(request: ClientRequest): void {
    this.request = request;
    this.#state = "body";
    this.#body.begin(request.body);
  }
}

function toRequest(line: RequestLine, fields: HeaderList): ClientRequest {
  const { method, version } = line;
  const { host, body, isLast, awaitsContinue, isWebSocket } = requestFraming(line, fields);
  const { path, authority } = readTarget(method, line.target, host);
  const head: RequestHead = {
    version,
    method,
    scheme: "http",
    authority,
    path,
    protocol: isWebSocket ? "websocket" : undefined,
    headers: fields,
    hasBody: body !== "none",
    memo: new HeadMemo(),
  };
  return { head, body, isLast, awaitsContinue };
}
