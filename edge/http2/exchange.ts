import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead, Source } from "../exchange.ts";
import { find } from "../headers.ts";
import { grpcRefusal, grpcStatus, httpRefusal } from "../refusal.ts";
import { route } from "../route.ts";
import { memoryOfHead } from "../waiting.ts";
import type { Stream } from "./stream.ts";

const nobody = (): void => {};
const NONE: HeaderList = [];

/** `:status` as a list of its own, the same one each time: the encoder tells lists by identity. */
const STATUS_FIELDS: readonly HeaderList[] = Array.from({ length: 600 }, (_, status) => [
  ":status",
  String(status),
]);

function statusField(status: number): HeaderList {
  return STATUS_FIELDS[status] ?? [":status", String(status)];
}

/** One HTTP/2 stream that a client opened, and its reply. */
export class Http2Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  status: number | undefined;
  bytesOut = 0;
  grpcStatus: number | undefined;
  place = -1;
  onClosed: (exchange: Exchange) => void = nobody;

  readonly #stream: Stream;
  #over = false;
  #tunnel = false;
  /** Bytes that a reply with a content-length still lacks; -1 when it says no length. */
  #left = -1;

  constructor(stream: Stream, head: RequestHead, peer: Peer) {
    this.#stream = stream;
    this.head = head;
    this.peer = peer;
    stream.events = this;
  }

  get gone(): boolean {
    return this.#stream.isClosed;
  }

  /** Bytes of memory of the head. */
  get held(): number {
    return memoryOfHead(this.head);
  }

  get bytesIn(): number {
    return this.#stream.bytesIn;
  }

  set source(source: Source) {
    this.#stream.source = source;
  }

  /** The stream is over, and with it the exchange. */
  closed(): void {
    this.onClosed(this);
  }

  receive(receiver: BodyReceiver): void {
    this.#stream.receive(receiver);
  }

  consume(bytes: number): void {
    this.#stream.consume(bytes);
  }

  inform(status: number, headers: HeaderList, neverIndexed: readonly string[] = NONE): void {
    if (this.#over || this.status !== undefined) return;
    this.#stream.sendHead(statusField(status), headers, false, neverIndexed);
  }

  respond(status: number, headers: HeaderList, end: boolean, neverIndexed: readonly string[] = NONE): void {
    if (this.#over || this.status !== undefined || this.gone) return;
    this.status = status;
    // Not for gRPC, whose status comes in trailers whatever the length.
    if (!end && !this.#tunnel && route(this.head) !== "grpc")
      this.#left = Number(find(headers, "content-length") ?? -1);
    if (end) this.#finish();
    this.#stream.sendHead(statusField(status), headers, end, neverIndexed);
  }

  accept(headers: HeaderList): void {
    this.#tunnel = true;
    this.respond(200, headers, false);
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    this.bytesOut += chunk.length;
    this.#stream.write(chunk);
    if (this.#left < 0) return;
    this.#left -= chunk.length;
    // END_STREAM goes with the last byte. Sent later, in a frame of its own, it would hold up what a proxy in front has
    // corked until it knows the reply to be complete (HAProxy: 200 ms).
    if (this.#left <= 0) this.end(NONE);
  }

  end(trailers: HeaderList, neverIndexed: readonly string[] = NONE): void {
    if (this.#over) return;
    this.#finish();
    this.#stream.end(trailers, neverIndexed);
  }

  fail(error: EdgeError): void {
    if (this.gone || (this.#over && !this.#tunnel)) return;
    const grpc = route(this.head) === "grpc";
    if (this.status === undefined) {
      const refusal = grpc ? grpcRefusal(error) : httpRefusal(error);
      const bodiless = refusal.body.length === 0 || this.head.method === "HEAD";
      this.respond(refusal.status, refusal.headers, bodiless);
      this.write(refusal.body);
      return this.end([]);
    }
    if (grpc) return this.end(grpcStatus(error));
    this.#over = true;
    this.#stream.reset(error.row.reset);
  }

  /** The reply is complete. A client that is still sending may stop: NO_ERROR says so (RFC 9113, section 8.1). */
  #finish(): void {
    this.#over = true;
    if (this.#tunnel) return;
    this.#stream.stopsPeer = true;
    this.#stream.discard();
  }
}
