import type { ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead } from "../exchange.ts";
import { find, toObject } from "../headers.ts";
import { grpcRefusal, grpcStatus, httpRefusal } from "../refusal.ts";
import { route } from "../route.ts";
import { StreamBody, peerReset } from "./body.ts";

/** One HTTP/2 stream that a client opened, and its reply, over node:http2. */
export class Http2Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  status: number | undefined;
  gone = false;
  bytesOut = 0;
  readonly closed: Promise<void>;

  readonly #stream: ServerHttp2Stream;
  readonly #body: StreamBody;
  #over = false;
  #tunnel = false;
  /** Bytes that a reply with a content-length still lacks. */
  #left: number | undefined;

  constructor(stream: ServerHttp2Stream, head: RequestHead, peer: Peer) {
    this.#stream = stream;
    this.head = head;
    this.peer = peer;
    // Registered first, so that `gone` is true by the time a receiver hears of it.
    this.closed = new Promise((resolve) => {
      stream.once("close", () => {
        this.gone = true;
        resolve();
      });
    });
    this.#body = new StreamBody(stream, (code) => peerReset(code, new EdgeError("client_gone")));
  }

  set onSent(callback: (bytes: number) => void) {
    this.#body.onSent = callback;
  }

  receive(receiver: BodyReceiver): void {
    this.#body.receive(receiver);
  }

  consume(bytes: number): void {
    this.#body.consume(bytes);
  }

  inform(status: number, headers: HeaderList): void {
    if (this.#over || this.status !== undefined || !this.#open()) return;
    try {
      this.#stream.additionalHeaders({ ":status": status, ...toObject(headers) });
    } catch {
      // Node takes no such interim reply; the final one is what counts.
    }
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined || !this.#open()) return;
    const length = find(headers, "content-length");
    // Not for gRPC, whose status comes in trailers whatever the length.
    if (!end && length !== undefined && route(this.head) !== "grpc") this.#left = Number(length);
    try {
      // waitForTrailers: without it, Node would send END_STREAM before it resets a reply half-way.
      this.#stream.respond(
        { ":status": status, ...toObject(headers) },
        end ? { endStream: true } : { waitForTrailers: this.#left === undefined },
      );
    } catch (thrown) {
      this.#left = undefined;
      throw new EdgeError("upstream_garbage", "the worker's reply head cannot be sent over HTTP/2", thrown);
    }
    this.status = status;
    if (!end) return;
    this.#finish();
    setImmediate(() => this.#body.onEnded());
  }

  accept(headers: HeaderList): void {
    this.#tunnel = true;
    this.respond(200, headers, false);
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    this.bytesOut += chunk.length;
    this.#body.write(chunk);
    if (this.#left === undefined) return;
    this.#left -= chunk.length;
    // END_STREAM goes with the last byte. Sent later, in a frame of its own, it would hold up what a proxy in front has
    // corked until it knows the reply to be complete (HAProxy: 200 ms).
    if (this.#left <= 0) this.end([]);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    this.#body.end(trailers);
    this.#finish();
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
    if (this.#left === undefined) this.#body.reset("INTERNAL_ERROR");
    else this.#stream.destroy(error);
  }

  #open(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  /** The reply is complete. A client that is still sending may stop: NO_ERROR says so (RFC 9113, section 8.1). */
  #finish(): void {
    this.#over = true;
    if (this.#tunnel) return;
    this.#body.discard();
    const stopUpload = (): void => {
      if (!this.#stream.readableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    };
    if (this.#left === undefined) this.#body.onEnded = stopUpload;
    else this.#stream.once("finish", () => setImmediate(stopUpload));
  }
}
