import { createHash } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Peer, RequestHead } from "../exchange.ts";
import { find } from "../headers.ts";
import { ReadableSource } from "../node-streams.ts";
import { httpRefusal } from "../refusal.ts";

/** RFC 6455, section 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Milliseconds of silence on a tunnel after which the kernel asks whether the client is still there. */
const KEEP_ALIVE_MS = 60_000;

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
  onSent: (bytes: number) => void = () => {};
  status: number | undefined;
  gone = false;
  bytesOut = 0;
  place = -1;
  onClosed: (exchange: Exchange) => void = () => {};

  readonly #socket: Socket;
  readonly #source: ReadableSource;
  #over = false;
  #chunked = false;
  /** Bytes that the client has not read, once there are many. */
  #unsent = 0;

  constructor(socket: Socket, early: Buffer, head: RequestHead, peer: Peer) {
    this.head = head;
    this.peer = peer;
    this.#socket = socket;
    if (early.length > 0) socket.unshift(early);
    this.#source = new ReadableSource(socket, () => []);
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("drain", () => {
      const bytes = this.#unsent;
      this.#unsent = 0;
      if (bytes > 0) this.onSent(bytes);
    });
    // A client that vanished without a word is noticed after a while.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.once("close", () => {
      this.#onClose();
      this.onClosed(this);
    });
  }

  receive(receiver: BodyReceiver): void {
    this.#source.receive(receiver);
  }

  consume(bytes: number): void {
    this.#source.consume(bytes);
  }

  /** Interim replies to a handshake tell a client nothing; the final one follows. */
  inform(): void {}

  accept(headers: HeaderList): void {
    if (this.#over || this.status !== undefined) return;
    this.status = 101;
    const key = find(this.head.headers, "sec-websocket-key") ?? "";
    this.#writeHead(101, [
      "upgrade",
      "websocket",
      "connection",
      "Upgrade",
      "sec-websocket-accept",
      webSocketAccept(key),
      ...headers,
    ]);
  }

  respond(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || this.status !== undefined) return;
    this.status = status;
    const bodiless = end || status === 204 || status === 304;
    this.#chunked = !bodiless && find(headers, "content-length") === undefined;
    const extra = this.#chunked ? ["transfer-encoding", "chunked"] : [];
    this.#writeHead(status, [...headers, ...extra, "connection", "close"]);
    if (end) this.end();
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    this.bytesOut += chunk.length;
    if (this.#chunked) this.#socket.write(`${chunk.length.toString(16)}\r\n`);
    // A copy: the chunk's memory is its sender's again.
    const goesOn = this.#socket.write(Buffer.from(chunk));
    if (this.#chunked) this.#socket.write("\r\n");
    if (goesOn) this.onSent(chunk.length);
    else this.#unsent += chunk.length;
  }

  /** Ends the edge's direction: a half-close for a tunnel, which the client may still answer. */
  end(): void {
    if (this.#over) return;
    if (this.#chunked) this.#socket.write("0\r\n\r\n");
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

  #writeHead(status: number, headers: HeaderList): void {
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    this.#socket.write(`${text}\r\n`, "latin1");
  }

  #onClose(): void {
    this.gone = true;
    this.#source.abort(new EdgeError("client_gone"));
  }
}
