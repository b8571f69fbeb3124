import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { interimToClient } from "../headers.ts";
import type { Http1Stream, WorkerReceiver } from "../upstream/http1/stream.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import type { Forward } from "./forward.ts";
import { sendBody, workerRequest } from "./http-request.ts";
import type { Attempt } from "./repeatable-body.ts";
import { endReply, respond } from "./reply.ts";

/** Carries a request to an HTTP/1.1 worker, with nothing in between; done when the reply is complete. */
export function forwardDirect(forward: Forward<Http1Upstream>): void {
  new DirectCall(forward).open();
}

/** One request under way, as the worker's reply sees it. */
class DirectCall implements WorkerReceiver, Attempt {
  readonly #forward: Forward<Http1Upstream>;
  #stream: Http1Stream | undefined;
  #over = false;

  constructor(forward: Forward<Http1Upstream>) {
    this.#forward = forward;
  }

  get isGone(): boolean {
    return this.#forward.exchange.gone;
  }

  /** Where it goes; only once it is connected. */
  get worker(): Http1Stream {
    if (this.#stream === undefined) throw new Error("the request has not been sent");
    return this.#stream;
  }

  /** Sends the request. Throws `bad_request` for one that cannot be sent. */
  open(): void {
    const { exchange, upstream, headers } = this.#forward;
    this.#stream = upstream.open(workerRequest(exchange, headers, upstream.origin), this);
    if (this.#stream.isConnected) this.connected();
  }

  /** Only now: what is read of a client's body is gone, and a worker that cannot be reached has a successor. */
  connected(): void {
    const { exchange } = this.#forward;
    const stream = this.#stream;
    if (stream === undefined) return;
    if (exchange.gone) return this.#fail(new EdgeError("client_gone"));
    exchange.source = stream;
    sendBody(this.#forward, this);
  }

  inform(status: number, headers: HeaderList): void {
    this.#forward.exchange.inform(status, interimToClient(headers));
  }

  head(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over || !respond(this.#forward.exchange, status, headers, end)) return;
    this.#finish();
    // What a 205 may still send nobody wants: its connection is given up.
    if (!end) this.#stream?.cancel();
  }

  data(chunk: Buffer): void {
    if (!this.#over) this.#forward.exchange.write(chunk);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    endReply(this.#forward.exchange, trailers);
    this.#finish();
  }

  abort(error: EdgeError): void {
    this.#fail(error);
  }

  #finish(): void {
    this.#over = true;
    this.#forward.done(undefined);
  }

  #fail(error: EdgeError): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream?.cancel();
    this.#forward.done(error);
  }
}
