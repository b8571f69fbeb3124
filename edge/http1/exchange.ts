import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead, Source } from "../exchange.ts";
import { NO_SOURCE } from "../exchange.ts";
import { HIGH_WATER, mayGoOn } from "../high-water.ts";
import type { ReplyBody } from "../message/body-reader.ts";
import { httpRefusal } from "../refusal.ts";
import { memoryOfHead } from "../waiting.ts";
import type { Output } from "./output.ts";
import { interimHead, replyFields, replyStart } from "./reply-head.ts";
import type { ClientRequest } from "./request-parser.ts";

/** The connection that carries an exchange, as the exchange sees it. */
export interface Carrier {
  readonly peer: Peer;
  readonly output: Output;
  /** True when the edge is about to leave, and every reply the last one. */
  readonly isDraining: boolean;
  /** True when the request has been read to its end. */
  readonly isRequestRead: boolean;
  /** Somebody wants the body of the request. */
  readBody(): void;
  /** Stops reading, and goes on. */
  hold(): void;
  goOn(): void;
  /** The reply is complete; `isLast` is true when the client was told that none follows. */
  replied(isLast: boolean): void;
  /** Ends the connection in the middle of a reply. */
  cut(): void;
}

const NO_TRAILERS: HeaderList = [];
const nobody = (): void => {};

/** An HTTP/1.1 or 1.0 request and its reply. */
export class Http1Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  source: Source = NO_SOURCE;
  status: number | undefined;
  gone = false;
  bytesIn = 0;
  bytesOut = 0;
  grpcStatus: number | undefined;
  place = -1;
  onClosed: (exchange: Exchange) => void = nobody;
  /** True once the reply is complete, or was cut. */
  isOver = false;

  readonly #carrier: Carrier;
  readonly #request: ClientRequest;
  #receiver: BodyReceiver | undefined;
  /** Bytes of the request's body that have not left the edge. */
  #underWay = 0;
  #body: ReplyBody = "none";
  /** Bytes that a counted reply still lacks. */
  #left = 0;
  #isLast = false;

  constructor(carrier: Carrier, request: ClientRequest) {
    this.#carrier = carrier;
    this.#request = request;
    this.head = request.head;
    this.peer = carrier.peer;
  }

  /** Bytes of memory of the head, and of what waits for the worker. */
  get held(): number {
    if (this.isOver) return 0;
    return memoryOfHead(this.head) + (this.#receiver?.held ?? 0);
  }

  /** True when the end of the connection is the end of the reply. */
  get endsByClose(): boolean {
    return this.#body === "until-close";
  }

  receive(receiver: BodyReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a body can be received once only");
    this.#receiver = receiver;
    if (this.gone) receiver.abort(new EdgeError("client_gone"));
    else if (this.head.hasBody) this.#carrier.readBody();
    else receiver.end(NO_TRAILERS);
  }

  consume(bytes: number): void {
    const before = this.#underWay;
    this.#underWay -= bytes;
    if (mayGoOn(before, this.#underWay)) this.#carrier.goOn();
  }

  inform(status: number, headers: HeaderList): void {
    if (this.isOver || this.status !== undefined || this.head.version === "1.0") return;
    this.#carrier.output.text(interimHead(status, headers));
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.isOver || this.status !== undefined) return;
    const { body, head } = replyStart(status, headers, this.head, end);
    this.status = status;
    this.#body = body;
    if (typeof body === "number") this.#left = body;
    this.#carrier.output.head(head);
    if (this.#mustBeLast()) this.#sayClose();
    if (end) this.end(NO_TRAILERS);
  }

  write(chunk: Buffer): void {
    if (this.isOver || chunk.length === 0) return;
    if (this.#body === "none") return this.source.consume(chunk.length);
    this.bytesOut += chunk.length;
    const { output } = this.#carrier;
    if (this.#body === "chunked") return output.body(chunk, `${chunk.length.toString(16)}\r\n`, "\r\n");
    if (this.#body !== "until-close") {
      this.#left -= chunk.length;
      // What is beyond the length would be the next reply on this connection.
      if (this.#left < 0) return this.#cut();
    }
    output.body(chunk, "", "");
  }

  end(trailers: HeaderList): void {
    if (this.isOver) return;
    // RFC 9112, section 8: a reply without its last bytes is incomplete, and only a closed connection says so.
    if (this.#left > 0) return this.#cut();
    const { output } = this.#carrier;
    if (this.#body === "chunked") output.text(`0\r\n${replyFields(trailers)}\r\n`);
    this.isOver = true;
    // A client that still sends may stop: what it sends will be read for a while, and by nobody.
    if (!this.#carrier.isRequestRead) this.#sayClose();
    output.flush();
    this.#carrier.replied(this.#isLast);
  }

  accept(): void {
    throw new Error("a request without an upgrade cannot become a tunnel");
  }

  fail(error: EdgeError): void {
    if (this.isOver || this.gone) return;
    if (this.status !== undefined && !this.takeBack()) return this.#cut();
    const refusal = httpRefusal(error);
    this.respond(refusal.status, refusal.headers, false);
    this.write(refusal.body);
    this.end(NO_TRAILERS);
  }

  takeBack(): boolean {
    if (this.isOver || !this.#carrier.output.takeBack()) return false;
    this.status = undefined;
    this.#isLast = false;
    this.#left = this.bytesOut = 0;
    return true;
  }

  // === what the connection tells

  /** A piece of the request's body; nobody wants it once the reply is complete. */
  data(chunk: Buffer): void {
    if (this.isOver) return;
    this.bytesIn += chunk.length;
    this.#underWay += chunk.length;
    if (this.#underWay > HIGH_WATER) this.#carrier.hold();
    this.#receiver?.data(chunk);
  }

  /** The request's body is complete. */
  ended(trailers: HeaderList): void {
    if (!this.isOver) this.#receiver?.end(trailers);
  }

  /** The request's body breaks off. */
  broken(error: EdgeError): void {
    const receiver = this.#receiver;
    if (this.isOver || receiver === undefined) return this.fail(error);
    receiver.abort(error);
  }

  /** The connection is closed, or the reply has left. */
  closed(hasLeft: boolean): void {
    if (!hasLeft) {
      this.gone = this.isOver = true;
      this.#receiver?.abort(new EdgeError("client_gone"));
    }
    this.onClosed(this);
  }

  #mustBeLast(): boolean {
    if (this.#request.isLast || this.#carrier.isDraining || this.endsByClose) return true;
    // A body that was announced but not sent for want of a 100 may or may not follow: only closing tells them apart.
    return this.#request.awaitsContinue && !this.#carrier.isRequestRead;
  }

  #sayClose(): void {
    if (!this.#isLast) this.#isLast = this.#carrier.output.sayClose();
  }

  #cut(): void {
    this.isOver = true;
    this.#carrier.cut();
  }
}
