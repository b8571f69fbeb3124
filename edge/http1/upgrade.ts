import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead, Source } from "../exchange.ts";
import { NO_SOURCE } from "../exchange.ts";
import { find } from "../headers.ts";
import { HIGH_WATER, mayGoOn } from "../high-water.ts";
import type { SocketEnd } from "../port/socket-end.ts";
import { writeCopy } from "../port/copies.ts";
import { httpRefusal } from "../refusal.ts";
import { ownCopy, waitingIn } from "../waiting.ts";
import { replyFields, replyHead } from "./reply-head.ts";
import { statusLine } from "./reasons.ts";

/** RFC 6455, section 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Milliseconds of silence on a tunnel after which the kernel asks whether the client is still there. */
const KEEP_ALIVE_MS = 60_000;

const NO_TRAILERS: HeaderList = [];
const nobody = (): void => {};

/** The proof that a server read this handshake (RFC 6455, section 4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash("sha1")
    .update(key + GUID)
    .digest("base64");
}

/** A WebSocket handshake over HTTP/1.1: answered with a plain reply on the bare socket, or accepted and then a tunnel. */
export class UpgradeExchange implements Exchange {
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

  readonly #end: SocketEnd;
  readonly #socket: Socket;
  #receiver: BodyReceiver | undefined;
  /** What came behind the handshake, until somebody receives it. */
  #early: Buffer | undefined;
  /** Bytes from the client that have not left the edge. */
  #underWay = 0;
  #over = false;
  #chunked = false;
  /** Bytes that the client has not read, once there are many. */
  #unsent = 0;

  /** Takes over a paused socket, and what has been read from it behind the head, valid during the call only. */
  constructor(end: SocketEnd, early: Buffer | undefined, head: RequestHead, peer: Peer) {
    const { socket } = end;
    this.head = head;
    this.peer = peer;
    this.#end = end;
    this.#socket = socket;
    this.#early = early === undefined ? undefined : ownCopy(early);
    // A client that vanished without a word is noticed after a while.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on("drain", () => {
      const bytes = this.#unsent;
      this.#unsent = 0;
      if (bytes > 0) this.source.consume(bytes);
    });
    socket.on("close", () => {
      this.gone = true;
      this.#receiver?.abort(new EdgeError("client_gone"));
      this.onClosed(this);
    });
  }

  /** Bytes of memory of what waits, either way, wherever that is. */
  get held(): number {
    return waitingIn(this.#socket) + (this.#early?.length ?? 0) + (this.#receiver?.held ?? 0);
  }

  receive(receiver: BodyReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a tunnel can be received once only");
    this.#receiver = receiver;
    if (this.gone) return receiver.abort(new EdgeError("client_gone"));
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#onData(early);
    this.#end.receive((bytes) => this.#onData(bytes));
    this.#socket.on("end", () => this.#onEnd());
    if (this.#underWay <= HIGH_WATER) this.#socket.resume();
  }

  consume(bytes: number): void {
    const before = this.#underWay;
    this.#underWay -= bytes;
    if (mayGoOn(before, this.#underWay)) this.#socket.resume();
  }

  /** Interim replies to a handshake tell a client nothing; the final one follows. */
  inform(): void {}

  accept(headers: HeaderList): void {
    if (this.#over || this.status !== undefined) return;
    const key = find(this.head.headers, "sec-websocket-key") ?? "";
    const proof = `sec-websocket-accept: ${webSocketAccept(key)}\r\n`;
    const text = `${statusLine(101)}upgrade: websocket\r\nconnection: Upgrade\r\n${proof}${replyFields(headers)}\r\n`;
    this.status = 101;
    this.#socket.write(text, "latin1");
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined) return;
    const bodiless = end || status === 204 || status === 304;
    const chunked = !bodiless && find(headers, "content-length") === undefined;
    const text = replyHead(status, headers, chunked ? "chunked" : bodiless ? "none" : 0, this.head.method);
    this.status = status;
    this.#chunked = chunked;
    this.#socket.write(`${text}connection: close\r\n\r\n`, "latin1");
    if (end) this.end();
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    this.bytesOut += chunk.length;
    if (this.#chunked) this.#socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
    const goesOn = writeCopy(this.#socket, chunk);
    if (this.#chunked) this.#socket.write("\r\n", "latin1");
    if (goesOn) this.source.consume(chunk.length);
    else this.#unsent += chunk.length;
  }

  /** Ends the edge's direction: a half-close for a tunnel, which the client may still answer. */
  end(): void {
    if (this.#over) return;
    if (this.#chunked) this.#socket.write("0\r\n\r\n", "latin1");
    this.#over = true;
    if (this.status === 101) this.#socket.end();
    else this.#socket.destroySoon();
  }

  fail(error: EdgeError): void {
    if (this.gone) return;
    if (this.status !== undefined) {
      this.#over = true;
      this.#socket.destroy();
      return;
    }
    const refusal = httpRefusal(error);
    this.respond(refusal.status, refusal.headers, false);
    this.write(refusal.body);
    this.end();
  }

  #onData(bytes: Buffer): void {
    this.bytesIn += bytes.length;
    this.#underWay += bytes.length;
    if (this.#underWay > HIGH_WATER) this.#socket.pause();
    try {
      this.#receiver?.data(bytes);
    } catch (thrown) {
      this.#onFault(thrown);
    }
  }

  #onEnd(): void {
    try {
      this.#receiver?.end(NO_TRAILERS);
    } catch (thrown) {
      this.#onFault(thrown);
    }
  }

  /** An exception must not leave an event handler: it would end the process. */
  #onFault(thrown: unknown): void {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    receiver?.abort(toEdgeError(thrown));
  }
}
