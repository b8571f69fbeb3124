import type { Socket } from "node:net";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { Peer } from "../exchange.ts";
import { peerOf } from "../port/peer.ts";
import { Progress } from "../port/progress.ts";
import type { Connections, Member, TimeLimit } from "./connections.ts";
import type { Carrier } from "./exchange.ts";
import { Http1Exchange } from "./exchange.ts";
import type { SocketEnd } from "../port/socket-end.ts";
import { Inbox } from "./inbox.ts";
import { Output } from "./output.ts";
import { refuse } from "./refuse.ts";
import type { ClientRequest } from "./request-parser.ts";
import { RequestParser } from "./request-parser.ts";
import { HandedOver } from "./handed-over.ts";
import { UpgradeExchange } from "./upgrade.ts";
import { waitingIn } from "../waiting.ts";

const nobody = (): void => {};

/**
 * One client's connection: one request at a time, and the reply to it. What comes behind a request waits here until that has
 * been answered, and is not read on meanwhile.
 *
 *            head complete              both messages complete
 *   open ─────────────────▶ (exchange) ────────────────────────▶ open
 *    │                        │  │ WebSocket handshake ─▶ tunnel: the socket is the exchange's own
 *    │ refused                │ the last reply, or a body that nobody wants
 *    └────▶ closing ◀─────────┘
 */
export class Connection implements Carrier, Member {
  readonly peer: Peer;
  readonly output: Output;
  readonly progress: Progress;
  place = -1;

  readonly #end: SocketEnd;
  readonly #socket: Socket;
  readonly #all: Connections;
  readonly #parser: RequestParser;
  readonly #inbox: Inbox;
  #state: "open" | "closing" | "tunnel" = "open";
  #exchange: Http1Exchange | undefined;
  /** True while bytes are being read: what happens meanwhile must not start reading once more. */
  #isReading = false;
  /** True when the body of the request is wanted. */
  #isBodyWanted = false;
  /** True when what is read now came before the request ahead of it had been answered. */
  #isBehind = false;
  #isLast = false;
  /** True behind a reply whose end is the connection's, until all of it has left. */
  #endsReply = false;
  /** Milliseconds of what the clock runs on at the moment. */
  #waitedMs = 0;

  constructor(end: SocketEnd, all: Connections) {
    const { socket } = end;
    this.#end = end;
    this.#socket = socket;
    this.#all = all;
    const { headBytes, fields } = all.options;
    this.#inbox = new Inbox(socket);
    this.progress = new Progress(socket);
    this.peer = peerOf(socket);
    this.output = new Output(socket, (bytes) => this.#exchange?.source.consume(bytes));
    this.#parser = new RequestParser(headBytes, fields, (chunk) => this.#exchange?.data(chunk));
    end.receive((bytes) => this.receive(bytes));
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    // 'close' follows, and says all that there is to know.
    socket.on("error", nobody);
    socket.on("close", this.#onClose);
  }

  /** Bytes have come. They are valid during the call only. */
  receive(bytes: Buffer): void {
    if (this.#state === "closing") return;
    const isFirst = this.#inbox.isEmpty;
    if (isFirst && this.#exchange === undefined && this.#parser.isBetween) this.#isBehind = false;
    this.#read(this.#inbox.and(bytes));
    if (!isFirst && !this.#inbox.isEmpty) this.#inbox.stop();
  }

  /** The milliseconds before the clock was started may be among them, so the first do not count. */
  tick(ms: number): void {
    const limit = this.#limit();
    if (limit === undefined) this.#waitedMs = 0;
    else if (this.#waitedMs >= this.#all.options[limit]) this.#onTimeUp(limit);
    else this.#waitedMs += ms;
  }

  drain(): void {
    if (this.#state === "open" && this.#exchange === undefined) this.#close();
  }

  /** Ends it at once. A reply that its end would make look whole is cut by a reset, and so is one that is, but has not left. */
  destroy(): void {
    const endsReply = this.#exchange?.endsByClose ?? this.#endsReply;
    if (endsReply && !this.#socket.writableFinished) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  get held(): number {
    const wanted = this.#exchange?.held ?? 0;
    return wanted + this.#inbox.held + this.#parser.held + waitingIn(this.#socket);
  }

  shed(): void {
    this.#socket.resetAndDestroy();
  }

  // === what the exchange asks for

  get isDraining(): boolean {
    return this.#all.isDraining;
  }

  get isRequestRead(): boolean {
    return this.#parser.isDone;
  }

  readBody(): void {
    this.#isBodyWanted = true;
    this.#readOn();
  }

  hold(): void {
    this.#inbox.hold();
  }

  goOn(): void {
    this.#inbox.letGo();
    this.#readOn();
  }

  replied(isLast: boolean): void {
    this.#isLast = isLast;
    this.#waitedMs = 0;
    if (!this.output.isFull) this.#onReplied();
  }

  cut(): void {
    this.output.flush();
    this.destroy();
  }

  // === what the socket tells

  readonly #onDrain = (): void => {
    this.output.drained();
    if (this.#exchange?.isOver === true) this.#onReplied();
  };

  /** A client that ends its direction has left, but for a reply that is on its way. */
  readonly #onEnd = (): void => {
    if (this.#exchange === undefined || this.#exchange.isOver) this.#socket.destroySoon();
    else this.destroy();
  };

  readonly #onClose = (): void => {
    this.#state = "closing";
    this.#all.remove(this);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.closed(false);
  };

  // === reading

  #readOn(): void {
    if (this.#isReading) return;
    const waiting = this.#inbox.take();
    if (waiting !== undefined) this.#read(waiting);
    if (this.#state !== "tunnel") this.#inbox.goOn();
  }

  #read(bytes: Buffer): void {
    let at = 0;
    this.#isReading = true;
    try {
      while (at < bytes.length && this.#wants()) at = this.#step(bytes, at);
    } catch (thrown) {
      this.#onUnreadable(toEdgeError(thrown));
    }
    this.#isReading = false;
    if (this.#state === "tunnel") return this.#handOver(at === bytes.length ? undefined : bytes.subarray(at));
    if (this.#state === "open" && at < bytes.length) this.#inbox.keep(bytes.subarray(at));
    // What was held may have been let go while it was being read.
    this.#inbox.goOn();
  }

  /** True when what has come may be read at this point. */
  #wants(): boolean {
    if (this.#state !== "open") return false;
    const exchange = this.#exchange;
    return exchange === undefined || (!this.#parser.isDone && (this.#isBodyWanted || exchange.isOver));
  }

  #step(bytes: Buffer, at: number): number {
    const exchange = this.#exchange;
    const parser = this.#parser;
    if (exchange === undefined && parser.isBetween) this.#waitedMs = 0;
    const next = parser.push(bytes, at);
    if (exchange === undefined) {
      if (parser.request !== undefined) this.#begin(parser.request);
    } else if (parser.isDone) {
      exchange.ended(parser.trailers);
      if (exchange.isOver) this.#onReplied();
    }
    return next;
  }

  #begin(request: ClientRequest): void {
    if (request.head.protocol === "websocket") return this.#beginTunnel();
    const exchange = new Http1Exchange(this, request);
    this.#exchange = exchange;
    this.#all.options.handle(exchange);
  }

  /** What cannot be read as a request, or as the rest of one, is the end of the connection. */
  #onUnreadable(error: EdgeError): void {
    if (error.code === "head_too_large") this.#all.options.exceeded("head_bytes");
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#refuse(error);
    this.#state = "closing";
    this.#inbox.take();
    if (exchange.isOver) this.#socket.destroySoon();
    else exchange.broken(error);
  }

  // === ends

  /** The reply is complete, and the client has taken it, or the rest of the request has come. */
  #onReplied(): void {
    const exchange = this.#exchange;
    if (exchange === undefined || this.output.isFull) return;
    const isRead = this.#parser.isDone;
    // What still comes of the request is read, and thrown away, until its end or for lingerMs.
    if (!isRead && !this.#isLast && this.#state === "open") {
      this.#inbox.letGo();
      return this.#readOn();
    }
    this.#exchange = undefined;
    this.#endsReply = exchange.endsByClose;
    this.#isBodyWanted = false;
    this.#inbox.letGo();
    this.#waitedMs = 0;
    exchange.closed(true);
    if (this.#isLast || this.isDraining || this.#state !== "open")
      return this.#close(!isRead || !this.#inbox.isEmpty);
    this.#parser.next();
    this.#isBehind = this.#isReading || !this.#inbox.isEmpty;
    this.#readOn();
  }

  /**
   * Closes once everything has left. With `linger` the client may still be sending: that is thrown away for a while, since
   * closing at once could reset the connection before the client has read the reply (RFC 9112, section 9.6).
   */
  #close(linger = false): void {
    this.#state = "closing";
    this.#inbox.take();
    if (!linger) return this.#socket.destroySoon();
    this.#waitedMs = 0;
    this.#socket.end();
    this.#socket.resume();
  }

  /** Answers in place of a worker. Behind a request that had no reply yet, nobody could tell whose reply that is. */
  #refuse(error: EdgeError): void {
    if (!this.#isBehind) refuse(this.output, error);
    this.#close(true);
  }

  // === tunnels

  /** A tunnel must not be opened on the strength of a request whose client had not seen the reply before it. */
  #beginTunnel(): void {
    if (this.#isBehind) this.#close(true);
    else this.#state = "tunnel";
  }

  /** The socket is the handshake's own from now on. A tunnel may last: nothing of what read its handshake is kept for it. */
  #handOver(early: Buffer | undefined): void {
    const head = this.#parser.request?.head;
    if (head === undefined) return;
    const socket = this.#socket;
    socket.pause();
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    const exchange = new UpgradeExchange(this.#end, early, head, this.peer);
    this.#all.replace(this, new HandedOver(socket, this.#all, this.progress, exchange));
    this.#all.options.handle(exchange);
  }

  // === the clock

  /** The time that the client has for what it is to do now; undefined while it has nothing to do. */
  #limit(): TimeLimit | undefined {
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isOver) return undefined;
    // A reply may take its time to be read: Connections looks whether it is.
    if (this.#socket.writableLength > 0) return undefined;
    if (exchange !== undefined || this.#state === "closing") return "lingerMs";
    return this.#parser.isBetween ? "idleMs" : "headMs";
  }

  #onTimeUp(limit: TimeLimit): void {
    if (limit === "lingerMs") return this.destroy();
    this.#all.options.exceeded(limit === "idleMs" ? "idle" : "head_time");
    if (limit === "idleMs") return this.#close();
    this.#refuse(new EdgeError("head_timeout"));
  }
}
