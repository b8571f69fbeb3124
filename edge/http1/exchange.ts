import type { IncomingMessage, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead } from "../exchange.ts";
import { find, fromRaw, toObject, withoutFields } from "../headers.ts";
import { ReadableSource, flushHead, writeTo } from "../node-streams.ts";
import { httpRefusal } from "../refusal.ts";
import type { Connection } from "./connections.ts";

const NO_TRAILERS: HeaderList = [];

/** Bytes up to which a whole body goes into one string with its head: one copy more, and one buffer less to write. */
const SMALL_BODY_BYTES = 4096;

/** An HTTP/1.1 or 1.0 request and its reply, over node:http. */
export class Http1Exchange implements Exchange {
  readonly head: RequestHead;
  readonly peer: Peer;
  onSent: (bytes: number) => void = () => {};
  status: number | undefined;
  gone = false;
  bytesOut = 0;
  place = -1;
  onClosed: (exchange: Exchange) => void = () => {};

  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #connection: Connection;
  readonly #lingerMs: number;
  /** Undefined when there is no body to come. */
  readonly #source: ReadableSource | undefined;
  #receiver: BodyReceiver | undefined;
  #over = false;
  #closeDelimited = false;
  /** True while the head waits for what else this turn of the event loop brings. */
  #headHeld = false;
  /** A first chunk that waits with the head: often it is the whole body. */
  #held: Buffer | undefined;

  /** `lingerMs` is the milliseconds that what a client still sends is read after an early reply. */
  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    head: RequestHead,
    connection: Connection,
    lingerMs: number,
  ) {
    this.#req = req;
    this.#res = res;
    this.head = head;
    this.peer = connection.peer;
    this.#connection = connection;
    this.#lingerMs = lingerMs;
    res.on("close", () => this.#onClose());
    if (!head.hasBody) return;
    this.#source = new ReadableSource(req, () => (req.complete ? fromRaw(req.rawTrailers) : undefined));
    // A request that breaks off emits 'error'; the reply's 'close' tells the same, once.
    req.on("error", () => {});
  }

  receive(receiver: BodyReceiver): void {
    if (this.#source !== undefined) return this.#source.receive(receiver);
    this.#receiver = receiver;
    if (this.gone) receiver.abort(new EdgeError("client_gone"));
    else receiver.end(NO_TRAILERS);
  }

  consume(bytes: number): void {
    this.#source?.consume(bytes);
  }

  inform(status: number, headers: HeaderList): void {
    if (this.#over || this.status !== undefined || this.head.version === "1.0") return;
    if (status === 100) this.#res.writeContinue();
    else if (status === 102) this.#res.writeProcessing();
    else writeInformation(this.#res, status, headers);
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined) return;
    const counted = find(headers, "content-length") !== undefined;
    const bodiless = end || this.head.method === "HEAD" || this.head.version === "1.0";
    // Trailers go with chunks only, and so does their announcement: Node refuses it elsewhere.
    const announces = (counted || bodiless) && find(headers, "trailer") !== undefined;
    const fields = announces ? withoutFields(headers, "trailer") : headers;
    this.#closeDelimited = !end && !counted && this.head.version === "1.0";
    const isLast = this.#connection.isClosing || this.#isBodyUnsent();
    const list = isLast ? [...fields, "connection", "close"] : fields;
    try {
      this.#res.writeHead(status, STATUS_CODES[status] ?? "", list as string[]);
    } catch (thrown) {
      throw new EdgeError("upstream_garbage", "the worker's reply head cannot be sent over HTTP/1.1", thrown);
    }
    this.status = status;
    if (end) return this.end(NO_TRAILERS);
    this.#headHeld = true;
    process.nextTick(release, this);
  }

  write(view: Buffer): void {
    if (this.#over) return;
    // A copy: the view's memory is its sender's again, and node:http may keep what it is given for a while.
    const chunk = Buffer.from(view);
    this.bytesOut += chunk.length;
    if (this.#headHeld && this.#held === undefined) {
      this.#held = chunk;
      return;
    }
    this.release();
    writeTo(this.#res, chunk, this.onSent);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    this.#over = true;
    this.#headHeld = false;
    if (trailers.length > 0) this.#res.addTrailers(toObject(trailers));
    if (!this.#req.complete) this.#res.once("finish", () => this.#linger());
    const body = this.#held;
    if (body === undefined) this.#res.end();
    else if (body.length > SMALL_BODY_BYTES) this.#res.end(body);
    else this.#res.end(body.latin1Slice(0, body.length), "latin1");
  }

  /** Sends the head that was held, and the chunk with it. */
  release(): void {
    if (!this.#headHeld) return;
    this.#headHeld = false;
    const chunk = this.#held;
    this.#held = undefined;
    if (chunk === undefined) flushHead(this.#res);
    else writeTo(this.#res, chunk, this.onSent);
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
    this.#source?.detach();
    const timer = setTimeout(() => this.#req.socket.destroy(), this.#lingerMs);
    this.#req.once("close", () => clearTimeout(timer));
  }

  /** A body that was announced but not sent for want of a 100 may or may not follow: only closing tells them apart. */
  #isBodyUnsent(): boolean {
    return !this.#req.complete && find(this.head.headers, "expect")?.toLowerCase() === "100-continue";
  }

  #onClose(): void {
    this.#connection.leave();
    if (!this.#over || !this.#res.writableFinished) {
      this.gone = true;
      this.#over = true;
      this.#abort(new EdgeError("client_gone"));
    }
    this.onClosed(this);
  }

  #abort(error: EdgeError): void {
    if (this.#source !== undefined) this.#source.abort(error);
    else this.#receiver?.abort(error);
  }
}

function release(exchange: Http1Exchange): void {
  exchange.release();
}

/** node:http has a public call for 100, 102 and 103 only; any other interim reply goes through as plain text. */
function writeInformation(res: ServerResponse, status: number, headers: HeaderList): void {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  res.socket?.write(`${text}\r\n`, "latin1");
}
