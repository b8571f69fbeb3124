import type { Cors } from "../cors.ts";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead, Source } from "../exchange.ts";
import { NO_SOURCE } from "../exchange.ts";
import { find, withoutFields } from "../headers.ts";
import { grpcStatus } from "../refusal.ts";
import { Base64Writer } from "./base64.ts";
import { Credit } from "./credit.ts";
import type { GrpcWebHead } from "./head.ts";
import { grpcWebHead } from "./head.ts";
import { MessageCounter } from "./messages.ts";
import { RequestText } from "./request-text.ts";
import { trailersFrame } from "./trailers.ts";

const nobody = (): void => {};
const NONE: HeaderList = [];

/** Fields that say how a call ended. */
const STATUS = new Set(["grpc-status", "grpc-message", "grpc-status-details-bin"]);

/**
 * A gRPC-Web call as the gRPC call that it stands for: what forwards it sees a gRPC client, and the client, over either HTTP
 * version, sees gRPC-Web (grpc/doc/PROTOCOL-WEB.md). Messages pass as they are, or by way of base64; trailers become the
 * last frame of the body.
 */
export class GrpcWebExchange implements Exchange {
  place = -1;
  grpcStatus: number | undefined;
  onClosed: (exchange: Exchange) => void = nobody;

  readonly #client: Exchange;
  readonly #web: GrpcWebHead;
  readonly #cors: Cors | undefined;
  readonly #messages = new MessageCounter();
  readonly #writer: Base64Writer | undefined;
  readonly #credit: Credit | undefined;
  #receiver: BodyReceiver | undefined;
  #text: RequestText | undefined;
  /** A status that came with the head of a reply that goes on. */
  #early: HeaderList = NONE;
  #over = false;

  constructor(client: Exchange, cors: Cors | undefined) {
    this.#client = client;
    this.#cors = cors;
    this.#web = grpcWebHead(client.head);
    if (this.#web.wantsText) {
      this.#writer = new Base64Writer();
      this.#credit = new Credit();
    }
    client.onClosed = () => this.onClosed(this);
  }

  get head(): RequestHead {
    return this.#web.head;
  }

  get peer(): Peer {
    return this.#client.peer;
  }

  get status(): number | undefined {
    return this.#client.status;
  }

  get gone(): boolean {
    return this.#client.gone;
  }

  get bytesIn(): number {
    return this.#client.bytesIn;
  }

  get bytesOut(): number {
    return this.#client.bytesOut;
  }

  set source(source: Source) {
    const credit = this.#credit;
    this.#client.source =
      credit === undefined ? source : { consume: (bytes) => source.consume(credit.give(bytes)) };
  }

  receive(receiver: BodyReceiver): void {
    this.#receiver = receiver;
    // gRPC workers send no 100, and a client may wait for one.
    if (this.#web.awaitsContinue) this.#client.inform(100, NONE);
    if (this.#web.sendsText) this.#text = new RequestText(this.#client, receiver);
    this.#client.receive(this.#text ?? receiver);
  }

  consume(bytes: number): void {
    (this.#text ?? this.#client).consume(bytes);
  }

  inform(status: number, headers: HeaderList, neverIndexed?: readonly string[]): void {
    this.#client.inform(status, headers, neverIndexed);
  }

  respond(status: number, headers: HeaderList, end: boolean, neverIndexed?: readonly string[]): void {
    const fields = end ? headers : this.#withoutStatus(headers);
    this.#client.respond(status, this.#replyFields(fields), end, neverIndexed);
    if (end) this.#over = true;
  }

  accept(): void {
    throw new Error("a gRPC-Web call cannot become a tunnel");
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    const fits = this.#messages.pass(chunk);
    this.#send(fits === chunk.length ? chunk : chunk.subarray(0, fits));
    if (fits < chunk.length)
      this.#receiver?.abort(
        new EdgeError("upstream_garbage", "the worker sent a message marked as trailers"),
      );
  }

  /** Throws `upstream_garbage`: trailers behind half a message would be its other half. */
  end(trailers: HeaderList): void {
    if (this.#over) return;
    if (this.#messages.into > 0)
      throw new EdgeError("upstream_garbage", "the worker ended the reply in the middle of a message");
    const frame = trailersFrame(
      find(trailers, "grpc-status") === undefined ? [...this.#early, ...trailers] : trailers,
    );
    this.#over = true;
    // The reply's source has ended, and has no use for credit.
    this.#client.source = NO_SOURCE;
    this.#client.write(this.#writer?.write(frame, true) ?? frame);
    this.#client.end(NONE);
  }

  fail(error: EdgeError): void {
    if (this.#over) return;
    if (this.status === undefined) return this.respond(200, grpcStatus(error), true);
    if (this.#messages.into === 0) return this.end(grpcStatus(error));
    if (this.#client.takeBack?.() === true) return this.respond(200, grpcStatus(error), true);
    this.#over = true;
    this.#client.fail(error);
  }

  #send(chunk: Buffer): void {
    if (this.#writer === undefined) return this.#client.write(chunk);
    // What waits belongs to a message that is not complete, or else it goes, too.
    const text = this.#writer.write(chunk, this.#messages.into < 3);
    this.#credit?.add(chunk.length, text.length);
    this.#client.write(text);
  }

  /** Clients take a status in the head for the outcome, whatever the body says; and that is not there yet. */
  #withoutStatus(headers: HeaderList): HeaderList {
    if (find(headers, "grpc-status") === undefined) return headers;
    this.#early = headers.filter((_, at) => STATUS.has(headers[at - (at % 2)] ?? ""));
    return withoutFields(headers, ...STATUS);
  }

  #replyFields(headers: HeaderList): HeaderList {
    const own = withoutFields(headers, "content-type", "content-length", "trailer");
    const fields = ["content-type", this.#web.replyType, ...own];
    if (this.#cors === undefined) return fields;
    return this.#cors.replyFields(find(this.#client.head.headers, "origin"), fields);
  }
}
