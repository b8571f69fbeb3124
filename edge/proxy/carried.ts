import type { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { interimToClient } from "../headers.ts";
import type { SocketEnd } from "../port/socket-end.ts";
import type { Http1Stream, WorkerReceiver, WorkerRequest } from "../upstream/http1/stream.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import type { Forward } from "./forward.ts";
import { endReply, respond } from "./reply.ts";
import type { Requester } from "./stand-ins.ts";
import { WorkerReplyStandIn, WorkerRequestStandIn, WorkerSocketStandIn } from "./stand-ins.ts";

/** What there is to do at the turns of an exchange that http2-proxy carries. */
export interface Turns {
  /** The worker is connected: the client may be listened to. */
  connected(): void;
  /** The reply has been passed on to its end. */
  finished(): void;
  /** The worker has switched protocols; throws to refuse its 101. */
  upgraded?(headers: HeaderList, worker: SocketEnd, rest: Buffer): void;
}

const NO_TRAILERS: HeaderList = [];
const NOTHING = Buffer.alloc(0);

/** The worker's side of an exchange that http2-proxy carries: `request` is what it is given for it. */
export class CarriedCall implements WorkerReceiver, Requester {
  readonly request: WorkerRequestStandIn = new WorkerRequestStandIn(this);
  /** Of the request, as they may reach the worker (see RepeatableBody); sent with its end. */
  trailers: HeaderList = NO_TRAILERS;

  readonly #forward: Forward<Http1Upstream>;
  /** What is sent; undefined once it is. */
  #wanted: WorkerRequest | undefined;
  readonly #turns: Turns;
  #stream: Http1Stream | undefined;
  #reply: WorkerReplyStandIn | undefined;
  /** True while what the worker sends is the client's. */
  #passesOn = false;
  #abandoned = false;

  constructor(forward: Forward<Http1Upstream>, wanted: WorkerRequest, turns: Turns) {
    this.#forward = forward;
    this.#wanted = wanted;
    this.#turns = turns;
  }

  /** Bytes of memory of what waits for the worker to read. */
  get waiting(): number {
    return this.#stream?.waiting ?? 0;
  }

  /** Passes the head of the worker's reply on; for http2-proxy's onRes. */
  readonly respond = (reply: WorkerReplyStandIn): void => {
    const { exchange } = this.#forward;
    const stream = this.#stream;
    if (stream === undefined) return;
    exchange.source = stream;
    this.#passesOn = !respond(exchange, reply.status, reply.fields, reply.isEnd);
    if (this.#passesOn) return;
    // What a 205 may still send nobody wants: its connection is given up.
    if (!reply.isEnd) stream.cancel();
    this.#turns.finished();
  };

  // === what http2-proxy does with the request

  open(): void {
    const { upstream, exchange } = this.#forward;
    const wanted = this.#wanted;
    if (wanted === undefined) throw new Error("a request can be sent once only");
    this.#wanted = undefined;
    const stream = upstream.open(wanted, this);
    this.#stream = stream;
    stream.source = exchange;
    if (stream.isConnected) this.connected();
  }

  write(chunk: Buffer): void {
    this.#stream?.write(chunk);
  }

  endRequest(): void {
    this.#stream?.end(this.trailers);
  }

  /** Harmless once the reply has been read to its end, whose connection is then kept. */
  cancel(): void {
    this.#abandoned = true;
    this.#stream?.cancel();
  }

  // === what the worker's connection asks and tells

  get isGone(): boolean {
    return this.#forward.exchange.gone;
  }

  connected(): void {
    if (!this.#abandoned) this.#turns.connected();
  }

  inform(status: number, headers: HeaderList): void {
    this.#forward.exchange.inform(status, interimToClient(headers));
  }

  head(status: number, headers: HeaderList, end: boolean): void {
    this.#reply = new WorkerReplyStandIn(status, headers, end);
    this.request.onResponse?.(this.#reply);
  }

  data(chunk: Buffer): void {
    if (this.#passesOn) this.#forward.exchange.write(chunk);
  }

  end(trailers: HeaderList): void {
    if (!this.#passesOn) return;
    this.#passesOn = false;
    endReply(this.#forward.exchange, trailers);
    this.#turns.finished();
  }

  upgraded(headers: HeaderList, worker: SocketEnd, rest: Buffer): void {
    this.#stream = undefined;
    this.#turns.upgraded?.(headers, worker, rest);
    this.request.onUpgrade?.({ headers: {} }, new WorkerSocketStandIn(worker.socket), NOTHING);
  }

  abort(error: EdgeError): void {
    this.#passesOn = false;
    if (this.#reply === undefined) this.request.onError?.(error);
    else this.#reply.onError?.(error);
  }
}
