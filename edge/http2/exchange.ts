import type { ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead } from "../exchange.ts";
import { find, toObject } from "../headers.ts";
import { grpcRefusal, grpcStatus, httpRefusal } from "../refusal.ts";
import { route } from "../route.ts";
import { StreamBody, peerReset } from "./body.ts";

/** The head of a request on one HTTP/2 stream, from node:http2's flat list (names are lower-case by RFC 9113, section 8.2). */
export function readHead(raw: readonly string[], endStream: boolean): RequestHead {
  const pseudo: Record<string, string> = {};
  const headers: string[] = [];
  let host: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    if (name.startsWith(":")) pseudo[name] = value;
    else if (name === "host") host = value;
    else headers.push(name, value);
  }
  const protocol = pseudo[":protocol"];
  return {
    version: "2",
    method: pseudo[":method"] ?? "GET",
    scheme: pseudo[":scheme"] ?? "http",
    authority: pseudo[":authority"] ?? host ?? "",
    path: pseudo[":path"] ?? "/",
    protocol: protocol?.toLowerCase() === "websocket" ? "websocket" : protocol,
    headers: joinCookies(headers),
    hasBody: !endStream,
  };
}

/** RFC 9113, section 8.2.3: cookie crumbs are put together before they go where HTTP/1.1 may be spoken. */
function joinCookies(headers: string[]): string[] {
  const crumbs: string[] = [];
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === "cookie") crumbs.push(headers[i + 1] ?? "");
    else out.push(headers[i] ?? "", headers[i + 1] ?? "");
  }
  return crumbs.length < 2 ? headers : [...out, "cookie", crumbs.join("; ")];
}

/** One HTTP/2 stream that a client opened, and its reply, over node:http2. */
export class Http2Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  status: number | undefined;
  gone = false;
  bytesOut = 0;

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
    stream.once("close", () => {
      this.gone = true;
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
    this.#stream.additionalHeaders({ ":status": status, ...toObject(headers) });
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined || !this.#open()) return;
    this.status = status;
    const length = find(headers, "content-length");
    if (!end && length !== undefined) this.#left = Number(length);
    // waitForTrailers: without it, Node would send END_STREAM before it resets a reply half-way.
    this.#stream.respond(
      { ":status": status, ...toObject(headers) },
      end ? { endStream: true } : { waitForTrailers: this.#left === undefined },
    );
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
