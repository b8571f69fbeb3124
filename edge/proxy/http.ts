import proxy from "http2-proxy";
import { EdgeError, fromUpstream } from "../errors.ts";
import type { HeaderList, Outgoing, Source } from "../exchange.ts";
import { NO_SOURCE } from "../exchange.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import { CarriedCall } from "./carried.ts";
import { forwardDirect } from "./direct.ts";
import type { Forward } from "./forward.ts";
import type { Attempt } from "./repeatable-body.ts";
import { onceIdentified } from "./identified.ts";
import { sendBody, workerRequest } from "./http-request.ts";
import type { WorkerReplyStandIn } from "./stand-ins.ts";
import { ReplyStandIn, RequestStandIn } from "./stand-ins.ts";

/** How requests that came over HTTP/1.1 get to their worker. Those that came over HTTP/2 go straight there. */
export type Http1Carrier = "http2-proxy" | "direct";

/** What carries a request to an HTTP/1.1 worker; done when the reply is complete. */
export function createForwardHttp(carrier: Http1Carrier): (forward: Forward<Http1Upstream>) => void {
  return onceIdentified((forward) => {
    const { exchange } = forward;
    if (exchange.gone) throw new EdgeError("client_gone");
    if (carrier === "direct" || exchange.head.version === "2") forwardDirect(forward);
    else forwardCarried(forward);
  });
}

const NO_HEADERS: Readonly<Record<string, string>> = {};

/** Carries a request by http2-proxy. */
function forwardCarried(forward: Forward<Http1Upstream>): void {
  const { exchange, headers, upstream } = forward;
  const request = new RequestStandIn(exchange, exchange.head.method, NO_HEADERS);
  const reply = new ReplyStandIn();
  const call = new CarriedCall(forward, workerRequest(exchange, headers, upstream.origin), {
    connected: () => sendBody(forward, new CarriedBody(request, call)),
    finished: () => reply.onFinish?.(),
  });
  const carried = proxy.web(request, reply, {
    onReq: () => call.request,
    onRes: (_request, _reply, answer) => call.respond(answer as WorkerReplyStandIn),
  });
  carried.then(
    () => forward.done(undefined),
    (thrown: unknown) => forward.done(fromUpstream(thrown)),
  );
}

/** The way of a request's body through http2-proxy. Credit goes back by the call itself. */
class CarriedBody implements Attempt, Outgoing {
  source: Source = NO_SOURCE;
  readonly #request: RequestStandIn;
  readonly #call: CarriedCall;

  constructor(request: RequestStandIn, call: CarriedCall) {
    this.#request = request;
    this.#call = call;
  }

  get worker(): Outgoing {
    return this;
  }

  get waiting(): number {
    return this.#call.waiting;
  }

  write(chunk: Buffer): void {
    this.#request.onData?.(chunk);
  }

  end(trailers: HeaderList): void {
    this.#call.trailers = trailers;
    this.#request.onEnd?.();
  }

  abort(error: EdgeError): void {
    this.#request.onError?.(error);
  }
}
