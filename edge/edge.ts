import { createAuthenticate } from "./auth/authenticate.ts";
import type { UpstreamsView } from "./admin/admin.ts";
import { startAdmin } from "./admin/admin.ts";
import { createCarry, fromOrigins } from "./carry.ts";
import type { Config } from "./settings/config.ts";
import { createCors } from "./cors.ts";
import { EdgeError } from "./errors.ts";
import { viewOf } from "./admin/endpoint-view.ts";
import { ExchangeLog } from "./observe/exchange-log.ts";
import type { Family } from "./observe/families.ts";
import { edgeFamilies } from "./observe/families.ts";
import type { HandleDeps } from "./handle.ts";
import { handle } from "./handle.ts";
import type { Shed } from "./held.ts";
import { HeldGuard, mostHeld } from "./held.ts";
import type { LimitName } from "./limits.ts";
import { EXCEEDED } from "./limits.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./observe/log.ts";
import { Metrics } from "./observe/metrics.ts";
import { isBeyond, mostOpenFiles } from "./port/open-files.ts";
import { forwardGrpc } from "./proxy/grpc.ts";
import { forwardGrpcWeb } from "./proxy/grpc-web.ts";
import { createForwardHttp } from "./proxy/http.ts";
import { ProcessMetrics } from "./observe/process-families.ts";
import { loadPrometheus } from "./observe/prometheus.ts";
import type { Goodbye } from "./proxy/tunnel.ts";
import { Tunnels } from "./proxy/tunnels.ts";
import { createForwardWebSocket } from "./proxy/websocket.ts";
import { createEdgeServer } from "./port/server.ts";
import type { SocketEnd } from "./port/socket-end.ts";
import type { Endpoint } from "./upstream/endpoint.ts";
import { allReachable } from "./upstream/reachable.ts";
import type { Swap, Upstreams } from "./upstream/swap.ts";
import { createSwap } from "./upstream/swap.ts";
import type { Upstream, WorkersOptions } from "./upstream/workers.ts";
import { grpcWorkers, http1Workers } from "./upstream/workers.ts";
import { within } from "./within.ts";

/** The data path, not yet open: whoever builds it decides how connections come to it. */
export interface Edge {
  readonly lifecycle: Lifecycle;
  /**
   * Resolves when every worker accepts connections. Rejects when one does not within `startupSeconds`, and with the
   * signal's reason.
   */
  workersReachable(signal: AbortSignal): Promise<void>;
  /** Opens the port; resolves with its number, rejects when it cannot be had. */
  listen(): Promise<number>;
  /** Takes a connection that was accepted elsewhere (see EdgeServer). */
  accept(end: SocketEnd): void;
  upstreams(): UpstreamsView;
  /**
   * Sends new requests to these. What runs on others goes on there; WebSockets that are left after `drainSeconds` are closed
   * with 1012.
   */
  swap(upstreams: Upstreams): void;
  /** What it counts and has open, and what is measured of its process. */
  families(): Family[];
  /** Takes no new work, lets the running finish for `drainSeconds`, then ends it. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  destroy(): void;
}

/** An edge whose port is open. */
export interface OpenEdge {
  readonly port: number;
  readonly swap: Swap;
  /** As Edge.drain; resolves with the exit code, 0. */
  drain(): Promise<number>;
  destroy(): void;
}

/** Milliseconds for the last trailers and resets to leave, once the drain time is over. */
const LAST_WORDS_MS = 200;
/** The part of the drain time over which WebSockets are told to leave; the rest is theirs to do so. */
const SPREAD = 0.5;
/** Milliseconds between two lines of the log that say that there are too many connections. */
const FULL_MS = 10_000;
/** Milliseconds between two lines that say that too much was held. */
const HELD_MS = 1000;
/** RFC 6455, section 7.4.1; 1012, Service Restart, is IANA's. */
const GOING_AWAY: Goodbye = { code: 1001, reason: "the server is shutting down" };
const SERVICE_RESTART: Goodbye = { code: 1012, reason: "the worker is being replaced" };

/**
 * Builds the edge, waits for its workers and opens the port. Rejects when a worker is not reachable in time, or when a
 * port cannot be had; `signal` gives up waiting.
 */
export async function startEdge(config: Config, log: Log, signal: AbortSignal): Promise<OpenEdge> {
  const edge = createEdge(config, log);
  const { lifecycle } = edge;
  const swap = createSwap(config, log, edge.swap);
  const admin =
    config.adminPort === 0
      ? undefined
      : await startAdmin(config.adminPort, {
          phase: () => lifecycle.phase,
          running: () => lifecycle.running,
          upstreams: edge.upstreams,
          swap,
          metrics: async () => (await loadPrometheus()).render([edge.families()]),
        });
  const destroy = (): void => {
    edge.destroy();
    admin?.close();
    admin?.closeAllConnections();
  };
  try {
    await edge.workersReachable(signal);
    const port = await edge.listen();
    const drain = async (): Promise<number> => {
      await edge.drain();
      destroy();
      return 0;
    };
    return { port, swap, drain, destroy };
  } catch (thrown) {
    destroy();
    throw thrown;
  }
}

/** Builds the edge; nothing is open yet. It is one of so many `processes`. */
export function createEdge(config: Config, log: Log, processes = 1): Edge {
  const lifecycle = new Lifecycle();
  const tunnels = new Tunnels(config.tunnelSeconds * 1000);
  const stopping = new AbortController();
  const metrics = new Metrics();
  const processMetrics = new ProcessMetrics();
  const exchangeLog = new ExchangeLog(log, config);
  const options: WorkersOptions = {
    config,
    log,
    isOpen: () => lifecycle.phase !== "starting",
    stopping: stopping.signal,
  };
  const workers = {
    http: http1Workers(config.httpUpstreams, config.httpHealthCheck, metrics.http, options),
    grpc: grpcWorkers(config.grpcUpstreams, metrics.grpc, options),
    ws: http1Workers(config.wsUpstreams, config.wsHealthCheck, metrics.ws, options),
  };
  const { handshakeMs, trustedHops } = config;
  const deps: HandleDeps = {
    authenticate: createAuthenticate(config, { now: Date.now, warn: (message) => log.warn(message) }),
    carry: {
      http: createCarry(workers.http, createForwardHttp(config.http1Carrier), trustedHops),
      grpc: createCarry(workers.grpc, forwardGrpc, trustedHops),
      "grpc-web": createCarry(workers.grpc, forwardGrpcWeb, trustedHops),
      websocket: fromOrigins(
        config.webSocketOrigins,
        createCarry(workers.ws, createForwardWebSocket({ tunnels, handshakeMs }), trustedHops),
      ),
    },
    cors: createCors(config),
    lifecycle,
    log,
    exchangeLog,
    metrics,
    tellsArrival: config.doctor ? trustedHops : undefined,
  };
  const full = seldom(FULL_MS, () => log.warn({ limit: "connections" }, EXCEEDED.connections));
  warnOfFewFiles(config, log);
  const exceeded = (limit: LimitName): void => {
    metrics.countExceeded(limit);
    log.debug({ limit }, EXCEEDED[limit]);
    if (limit === "connections") full();
  };
  const server = createEdgeServer(config, (exchange) => handle(exchange, deps), exceeded);
  const tellHeld = seldom(HELD_MS, (shed: Shed) => log.warn({ limit: "held", ...shed }, EXCEEDED.held));
  const guard = new HeldGuard(
    mostHeld(config.heldMib, processes),
    function* () {
      yield* server.holders();
      yield* tunnels.orphans();
    },
    (shed) => {
      for (let i = 0; i < shed.ended; i++) exceeded("held");
      tellHeld(shed);
    },
  );
  const upstreams = (): UpstreamsView => ({
    http: workers.http.pool.endpoints.map(viewOf),
    grpc: workers.grpc.pool.endpoints.map(viewOf),
    ws: workers.ws.pool.endpoints.map(viewOf),
  });
  const swap = (wanted: Upstreams): void => {
    workers.http.pool.swap(wanted.http);
    workers.grpc.pool.swap(wanted.grpc);
    const left = workers.ws.pool.swap(wanted.ws).filter(({ active }) => active > 0);
    for (const { health } of Object.values(workers)) health.begin();
    const leave = (): void => {
      for (const { connection } of left) tunnels.leave(connection, SERVICE_RESTART);
    };
    if (left.length > 0) setTimeout(leave, config.drainSeconds * 1000).unref();
  };
  const destroy = (): void => {
    lifecycle.phase = "closed";
    stopping.abort();
    guard.stop();
    server.destroy();
    tunnels.destroy();
    for (const { pool } of Object.values(workers)) pool.close();
  };

  const drain = async (): Promise<void> => {
    lifecycle.phase = "draining";
    log.info({ running: lifecycle.running }, "draining");
    const closed = server.drain().then(() => tunnels.emptied());
    tunnels.close(GOING_AWAY, config.drainSeconds * 1000 * SPREAD);
    if (!(await within(config.drainSeconds * 1000, closed))) {
      log.warn({ running: lifecycle.running }, "drain time is over");
      lifecycle.failAll(new EdgeError("draining"));
      await within(LAST_WORDS_MS, closed);
    }
    destroy();
  };

  return {
    lifecycle,
    workersReachable: (signal) =>
      allReachable(
        Object.values(workers).flatMap(({ pool }): readonly Endpoint<Upstream>[] => pool.endpoints),
        config,
        signal,
      ),
    async listen() {
      const port = await server.listen(config.port);
      lifecycle.phase = "ready";
      return port;
    },
    accept: server.accept,
    upstreams,
    swap,
    families: () => [
      ...edgeFamilies({
        metrics,
        workers,
        clients: { ...server.clients(), tunnels: tunnels.open, held: guard.held },
      }),
      ...processMetrics.families({ dropped: log.lines.dropped, leftOut: exchangeLog.leftOut }),
    ],
    drain,
    destroy,
  };
}

/** Does something at most once in `ms` milliseconds. */
function seldom<A extends unknown[]>(ms: number, act: (...args: A) => void): (...args: A) => void {
  let next = 0;
  return (...args) => {
    const now = performance.now();
    if (now < next) return;
    next = now + ms;
    act(...args);
  };
}

/** A limit that the system's own comes before protects from nothing. */
function warnOfFewFiles({ connections }: Config, log: Log): void {
  const files = mostOpenFiles();
  if (connections === undefined || !isBeyond(files, connections)) return;
  log.warn({ connections, files }, "LIMIT_CONNECTIONS is more than the open files allow (ulimit -n)");
}
