import type { IncomingMessage, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead } from "../exchange.ts";
import { find, fromRaw, toObject, withoutFields } from "../headers.ts";
import { ReadableSource, flushHead, writeTo } from "../node-streams.ts";
import { httpRefusal } from "../refusal.ts";

export interface Http1ExchangeOptions {
  readonly lingerMs: number;
  /** True while the edge drains: the client is told that this connection takes no further request. */
  readonly closing: () => boolean;
}

/** An HTTP/1.1 or 1.0 request and its reply, over node:http. */
export class Http1Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  onSent: (bytes: number) => void = () => {};
  status: number | undefined;
  gone = false;
  bytesOut = 0;
  onClosed: (exchange: Exchange) => void = () => {};

  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #options: Http1ExchangeOptions;
  readonly #source: ReadableSource;
  readonly #expectsContinue: boolean;
  #over = false;
  #closeDelimited = false;

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    head: RequestHead,
    peer: Peer,
    options: Http1ExchangeOptions,
  ) {
    this.#req = req;
    this.#res = res;
    this.head = head;
    this.peer = peer;
    this.#options = options;
    this.#source = new ReadableSource(req, () => (req.complete ? fromRaw(req.rawTrailers) : undefined));
    this.#expectsContinue = find(head.headers, "expect")?.toLowerCase() === "100-continue";
    res.once("close", () => {
      this.#onClose();
      this.onClosed(this);
    });
    // A request that breaks off emits 'error'; the reply's 'close' tells the same, once.
    req.on("error", () => {});
  }

  receive(receiver: BodyReceiver): void {
    this.#source.receive(receiver);
  }

  consume(bytes: number): void {
    this.#source.consume(bytes);
  }

  inform(status: number, headers: HeaderList): void {
    if (this.#over || this.status !== undefined || this.head.version === "1.0") return;
    if (status === 100) this.#res.writeContinue();
    else if (status === 102) this.#res.writeProcessing();
    else writeInformation(this.#res, status, headers);
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined) return;
    const bodiless = end || this.head.method === "HEAD" || this.head.version === "1.0";
    const chunked = !bodiless && find(headers, "content-length") === undefined;
    // Trailers go with chunks only, and so does their announcement: Node refuses it elsewhere.
    const list = chunked ? [...headers] : withoutFields(headers, "trailer");
    this.#closeDelimited =
      !end && this.head.version === "1.0" && find(headers, "content-length") === undefined;
    // A body that was announced but not sent for want of a 100 may or may not follow: only closing tells them apart.
    const unsent = this.#expectsContinue && !this.#req.complete;
    if (this.#options.closing() || unsent) list.push("connection", "close");
    try {
      this.#res.writeHead(status, STATUS_CODES[status] ?? "", list);
    } catch (thrown) {
      throw new EdgeError("upstream_garbage", "the worker's reply head cannot be sent over HTTP/1.1", thrown);
    }
    this.status = status;
    if (end) this.end([]);
    else flushHead(this.#res);
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    this.bytesOut += chunk.length;
    writeTo(this.#res, chunk, this.onSent);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    this.#over = true;
    if (trailers.length > 0) this.#res.addTrailers(toObject(trailers));
    this.#res.end(() => this.#linger());
  }

  accept(): void {
    throw new EdgeError("internal", "a request without an upgrade cannot become a tunnel");
  }

  fail(error: EdgeError): void {
    if (this.#over || this.gone) return;
    if (this.status !== undefined) {
      // RFC 9112, section 8: a reply without its last bytes is incomplete, and only a closed connection says so.
      this.#over = true;
      // Where the end of the connection is the end of the body, only a reset tells a cut from an end.
      if (this.#closeDelimited) this.#req.socket.resetAndDestroy();
      else this.#req.socket.destroy();
      return;
    }
    const refusal = httpRefusal(error);
    this.respond(refusal.status, refusal.headers, false);
    if (this.head.method !== "HEAD") this.write(refusal.body);
    this.end([]);
  }

  /**
   * The reply is complete but the client still sends. Its bytes are thrown away for a while, since closing at once
   * could reset the connection before the client has read the reply (RFC 9112, section 9.6).
   */
  #linger(): void {
    if (this.#req.complete) return;
    this.#source.detach();
    const timer = setTimeout(() => this.#req.socket.destroy(), this.#options.lingerMs);
    this.#req.once("close", () => clearTimeout(timer));
  }

  #onClose(): void {
    if (this.#over && this.#res.writableFinished) return;
    this.gone = true;
    this.#over = true;
    this.#source.abort(new EdgeError("client_gone"));
  }
}

/** node:http has a public call for 100, 102 and 103 only; any other interim reply goes through as plain text. */
function writeInformation(res: ServerResponse, status: number, headers: HeaderList): void {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  res.socket?.write(`${text}\r\n`, "latin1");
}
