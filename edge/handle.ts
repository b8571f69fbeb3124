import type { Authenticate } from "./auth/authenticate.ts";
import type { Carry } from "./carry.ts";
import { EdgeError, toEdgeError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Caller } from "./headers.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Route } from "./route.ts";
import { route } from "./route.ts";

export interface HandleDeps {
  readonly authenticate: Authenticate;
  readonly carry: Readonly<Record<Exclude<Route, "grpc-web">, Carry>>;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
}

/** The life of an exchange: admit, authenticate, route, forward, settle. */
export async function handle(exchange: Exchange, deps: HandleDeps): Promise<void> {
  const started = performance.now();
  const kind = route(exchange.head);
  deps.lifecycle.enter(exchange);
  let caller: Caller | undefined;
  let worker: string | undefined;
  let outcome = "ok";
  try {
    caller = await deps.authenticate(exchange.head);
    if (exchange.gone) throw new EdgeError("client_gone");
    // Refused while it was being authenticated: the drain time is over.
    if (exchange.status !== undefined) throw new EdgeError("draining");
    if (kind === "grpc-web") throw new EdgeError("not_supported", "gRPC-Web is not supported yet");
    worker = await deps.carry[kind](exchange, caller, started);
  } catch (thrown) {
    const error = toEdgeError(thrown);
    outcome = error.code;
    if (error.code === "internal") deps.log.error({ error: error.cause ?? error }, "unexpected error");
    exchange.fail(error);
  } finally {
    if (deps.log.isLevelEnabled("info")) {
      const ms = performance.now() - started;
      // A path may be logged; a query may hold secrets and is not.
      const path = exchange.head.path.split("?", 1)[0] ?? "";
      const httpRequest = describe(exchange, path, ms);
      const line = { httpRequest, route: kind, outcome, caller: caller?.email, worker };
      deps.log.info(line, `${exchange.head.method} ${path}`);
    }
  }
}

/** Cloud Logging's HttpRequest. */
function describe({ head, peer, status, bytesOut }: Exchange, path: string, ms: number): object {
  return {
    requestMethod: head.method,
    requestUrl: path,
    status: status ?? 0,
    protocol: `HTTP/${head.version}`,
    remoteIp: peer.address,
    responseSize: String(bytesOut),
    latency: `${(ms / 1000).toFixed(6)}s`,
  };
}
