import { ARRIVAL_PATH, tellArrival } from "./arrival.ts";
import type { Authenticate } from "./auth/authenticate.ts";
import type { Carry, Passenger } from "./carry.ts";
import { EdgeError, toEdgeError } from "./errors.ts";
import type { Cors } from "./cors.ts";
import type { Caller, Exchange, RequestHead, Route } from "./exchange.ts";
import { GrpcWebExchange } from "./grpc-web/exchange.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { ExchangeLog } from "./observe/exchange-log.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics, Tally } from "./observe/metrics.ts";
import { outcomeOf } from "./observe/outcomes.ts";
import { route } from "./route.ts";

export interface HandleDeps {
  readonly authenticate: Authenticate;
  readonly carry: Readonly<Record<Exclude<Route, "preflight">, Carry>>;
  /** Which pages may call gRPC-Web; undefined when none that are not of the edge's own origin. */
  readonly cors: Cors | undefined;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  /** TRUSTED_HOPS, where the edge says how requests come to it; else undefined. */
  readonly tellsArrival: number | undefined;
  readonly exchangeLog: ExchangeLog;
  readonly metrics: Metrics;
}

/**
 * The life of an exchange: admit, authenticate, route, carry, settle. Where the caller is known and the worker's connection is
 * open, all of it happens in the read event that brought the request. Never throws.
 */
export function handle(exchange: Exchange, deps: HandleDeps): void {
  const kind = routeOf(exchange.head, deps.cors);
  const journey = new Journey(
    kind === "grpc-web" ? new GrpcWebExchange(exchange, deps.cors) : exchange,
    kind,
    deps,
  );
  deps.lifecycle.enter(journey.exchange);
  try {
    // Browsers ask without a token, and are told nothing that others may not know.
    const caller = kind === "preflight" ? undefined : deps.authenticate(journey.exchange.head);
    if (caller instanceof Promise) journey.goWhenKnown(caller);
    else journey.go(caller);
  } catch (thrown) {
    journey.fail(thrown);
  }
}

/** Where nobody was named who may ask, a preflight is any request. */
function routeOf(head: RequestHead, cors: Cors | undefined): Route {
  const kind = route(head);
  return kind === "preflight" && cors === undefined ? "http" : kind;
}

class Journey implements Passenger {
  readonly exchange: Exchange;
  readonly started = performance.now();
  caller: Caller | undefined;

  readonly #deps: HandleDeps;
  readonly #kind: Route;

  constructor(exchange: Exchange, kind: Route, deps: HandleDeps) {
    this.exchange = exchange;
    this.#kind = kind;
    this.#deps = deps;
    deps.metrics.byRoute[kind].begun++;
  }

  goWhenKnown(caller: Promise<Caller>): void {
    caller.then((known) => this.go(known)).catch((thrown: unknown) => this.fail(thrown));
  }

  go(caller: Caller | undefined): void {
    const { exchange } = this;
    this.caller = caller;
    if (exchange.gone) return this.fail(new EdgeError("client_gone"));
    // Refused while it was being authenticated: the drain time is over.
    if (exchange.status !== undefined) return this.fail(new EdgeError("draining"));
    if (this.#kind === "preflight") return this.#answer();
    const { tellsArrival } = this.#deps;
    const isCall = this.#kind === "grpc" || this.#kind === "grpc-web";
    if (tellsArrival !== undefined && exchange.head.path === ARRIVAL_PATH && !isCall) {
      tellArrival(exchange, tellsArrival);
      return this.settled(undefined, undefined);
    }
    this.#deps.carry[this.#kind](this);
  }

  fail(thrown: unknown): void {
    this.settled(toEdgeError(thrown), undefined);
  }

  settled(error: EdgeError | undefined, to: Tally | undefined): void {
    if (error !== undefined) this.#refuse(error);
    const { exchange, caller } = this;
    const { metrics, exchangeLog } = this.#deps;
    const route = this.#kind;
    const tally = to ?? metrics.byRoute[route].nowhere;
    const outcome = outcomeOf(exchange, error);
    const now = performance.now();
    const ms = now - this.started;
    tally.count(outcome, ms);
    if (!exchangeLog.wants(outcome, now)) return;
    exchangeLog.write({ exchange, route, caller, outcome, error, tally, now, ms });
  }

  #answer(): void {
    const { exchange } = this;
    exchange.respond(204, this.#deps.cors?.preflightFields(exchange.head) ?? [], true);
    this.settled(undefined, undefined);
  }

  #refuse(error: EdgeError): void {
    const { log } = this.#deps;
    if (error.code === "internal") log.error({ error: error.cause ?? error }, "unexpected error");
    try {
      this.exchange.fail(error);
    } catch (thrown) {
      log.error({ error: thrown }, "unexpected error");
    }
  }
}
