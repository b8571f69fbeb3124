import type { Config } from "../settings/config.ts";
import type { Log } from "../observe/log.ts";
import type { Tallies } from "../observe/metrics.ts";
import type { Address } from "../settings/parse.ts";
import type { Check } from "./health-probe.ts";
import { askGrpc } from "./health-grpc.ts";
import type { Http1Check } from "./health-http1.ts";
import { askHttp1 } from "./health-http1.ts";
import { HealthWatch } from "./health-watch.ts";
import { Http1Upstream } from "./http1/upstream.ts";
import type { Origin } from "./origin.ts";
import { originOf } from "./origin.ts";
import { Pool } from "./pool.ts";
import { RetryBudget } from "./retries.ts";
import { Http2Upstream } from "./session.ts";

/** What is open towards one worker, whatever it speaks. */
export interface Upstream {
  readonly origin: Origin | undefined;
  /** Connections that are open, or about to be. */
  readonly connections: number;
  close(): void;
}

/** The workers of one protocol: who there is, who is well, and how much may be sent again. */
export interface Workers<C extends Upstream> {
  readonly pool: Pool<C>;
  readonly health: HealthWatch<C>;
  readonly retries: RetryBudget;
}

export interface WorkersOptions {
  readonly config: Config;
  readonly log: Log;
  /** False before there is anything to check for. */
  readonly isOpen: () => boolean;
  /** Ends all checks, and all waiting for workers that are away. */
  readonly stopping: AbortSignal;
}

/** Workers that speak HTTP/1.1: those of HTTP, and of WebSockets. */
export function http1Workers(
  addresses: readonly Address[],
  check: Http1Check,
  tallies: Tallies,
  options: WorkersOptions,
): Workers<Http1Upstream> {
  const { config } = options;
  const retries = new RetryBudget(config, performance.now());
  const open = (address: Address, origin?: Origin): Http1Upstream =>
    new Http1Upstream(address, { ...config, retries }, origin);
  return assemble(addresses, tallies, retries, open, askHttp1(check, config.connectMs, open), options);
}

/** Workers that speak gRPC. */
export function grpcWorkers(
  addresses: readonly Address[],
  tallies: Tallies,
  options: WorkersOptions,
): Workers<Http2Upstream> {
  const { config } = options;
  const retries = new RetryBudget(config, performance.now());
  const open = (address: Address, origin?: Origin): Http2Upstream =>
    new Http2Upstream(address, config, origin);
  const check = askGrpc(config.grpcHealthCheck, config.connectMs, open);
  return assemble(addresses, tallies, retries, open, check, options);
}

function assemble<C extends Upstream>(
  addresses: readonly Address[],
  tallies: Tallies,
  retries: RetryBudget,
  open: (address: Address, origin: Origin | undefined) => C,
  check: Check,
  { config, log, isOpen, stopping }: WorkersOptions,
): Workers<C> {
  const pool = new Pool<C>(
    config.maxActive,
    (address) => open(address, originOf(address, config, log)),
    (connection) => connection.close(),
    tallies,
  );
  pool.swap(addresses);
  return { pool, health: new HealthWatch(pool, check, { ...config, log, isOpen, stopping }), retries };
}
