import type { Config } from "../settings/config.ts";
import type { EdgeError } from "../errors.ts";
import type { Caller, Exchange, Route } from "../exchange.ts";
import { clientAddress, find } from "../headers.ts";
import type { Log } from "./log.ts";
import { LineBuffer, putDigits } from "./line-buffer.ts";
import { SEVERITIES } from "./log.ts";
import type { Tally } from "./metrics.ts";
import type { Outcome } from "./outcomes.ts";
import { OUTCOMES, grpcStatusName } from "./outcomes.ts";
import type { Trace } from "./trace.ts";
import { readTrace } from "./trace.ts";

/**
 * Characters of a method, a path, a user agent, a caller, an address and a reason that are logged, as they stand in the line. A line
 * shall be at most PIPE_BUF (4096 bytes), which the kernel takes in one piece: no other process' line comes between its halves.
 */
const MAX_METHOD = 32;
const MAX_PATH = 1024;
const MAX_AGENT = 256;
const MAX_CALLER = 256;
const MAX_ADDRESS = 64;
const MAX_REASON = 256;

/** An exchange that has ended. */
export interface Ended {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly caller: Caller | undefined;
  /** The place in OUTCOMES. */
  readonly outcome: number;
  readonly error: EdgeError | undefined;
  /** The worker it got to, or the tally of those that got to none. */
  readonly tally: Tally;
  /** When it ended, on performance.now()'s clock, and how long it took, in milliseconds. */
  readonly now: number;
  readonly ms: number;
}

export type ExchangeLogOptions = Pick<Config, "logRequests" | "project" | "trustedHops">;

/** As Cloud Run's own request log has it: what the client did wrong is a warning, what we or a worker did an error. */
const LEVEL_OF_FAULT: Readonly<Record<Outcome["fault"], "info" | "warn" | "error">> = {
  none: "info",
  client: "warn",
  edge: "error",
  upstream: "error",
};

/**
 * A line for each exchange, with Cloud Logging's field names. Written by hand and byte by byte, since a gRPC call takes less of the
 * edge than pino's writing of a line: what a head says, and a worker's usual answer, is put together once.
 */
export class ExchangeLog {
  readonly #log: Log;
  readonly #options: ExchangeLogOptions;
  readonly #random: () => number;
  /** What part of the exchanges with each outcome has a line, and how many that ended well in a second at most. */
  readonly #shares: readonly number[];
  readonly #perSecond: number;
  #written = 0;
  #since = 0;
  /** Those that would have had a line, but for the rate. */
  leftOut = 0;
  readonly #line = new LineBuffer();
  /** How a line begins in a certain second, and the millisecond that was put into it last, on performance.now()'s clock. */
  #begin = NOTHING;
  #second = -1;
  #ms = -1;

  constructor(log: Log, options: ExchangeLogOptions, random: () => number = Math.random) {
    this.#log = log;
    this.#options = options;
    this.#random = random;
    this.#perSecond = typeof options.logRequests === "object" ? options.logRequests.perSecond : Infinity;
    this.#shares = OUTCOMES.map(({ fault }) =>
      log.isLevelEnabled(LEVEL_OF_FAULT[fault]) ? shareOf(options.logRequests, fault) : 0,
    );
  }

  /** Whether one that ends at `now`, on performance.now()'s clock, is to be written; not the same answer each time. */
  wants(outcome: number, now: number): boolean {
    const share = this.#shares[outcome] ?? 0;
    if (share === ALWAYS) return true;
    return share === RATED ? this.#hasRoom(now) : share > 0 && this.#random() < share;
  }

  #hasRoom(now: number): boolean {
    if (now - this.#since >= 1000) {
      this.#since = now;
      this.#written = 0;
    }
    if (this.#written < this.#perSecond) {
      this.#written++;
      return true;
    }
    this.leftOut++;
    return false;
  }

  write(ended: Ended): void {
    const { exchange, now, ms } = ended;
    const line = this.#line;
    line.begin(this.#beginning(now));
    line.put(this.#head(ended));
    line.put(LATENCY);
    line.seconds(ms);
    line.put(REQUEST_SIZE);
    line.number(exchange.bytesIn);
    line.put(RESPONSE_SIZE);
    line.number(exchange.bytesOut);
    line.put(end(ended));
    this.#log.lines.write(line.bytes());
  }

  #beginning(now: number): Buffer {
    const ms = Math.floor(now);
    if (ms === this.#ms) return this.#begin;
    this.#ms = ms;
    const time = Date.now();
    const second = Math.floor(time / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#begin = Buffer.from(`{"time":"${new Date(time).toISOString()}"${this.#log.fieldsText}`);
    } else putDigits(this.#begin, MS_AT, time % 1000, 3);
    return this.#begin;
  }

  /** What is the same as often as the head comes. */
  #head({ exchange, caller }: Ended): Buffer {
    const { memo } = exchange.head;
    if (memo?.logText !== undefined && memo.logCaller === caller) return memo.logText;
    const text = Buffer.from(headText(exchange, caller, this.#options), "latin1");
    if (memo !== undefined) {
      memo.logText = text;
      memo.logCaller = caller;
    }
    return text;
  }
}

/** Where a line has its milliseconds. */
const MS_AT = '{"time":"2026-01-01T00:00:00.'.length;
const ALWAYS = 1;
/** In the place of a part: as many as the rate allows. */
const RATED = 2;

const NOTHING = Buffer.alloc(0);
const LATENCY = Buffer.from(',"latency":"');
const REQUEST_SIZE = Buffer.from('s","requestSize":"');
const RESPONSE_SIZE = Buffer.from('","responseSize":"');

function shareOf(setting: Config["logRequests"], fault: Outcome["fault"]): number {
  if (setting === "off") return 0;
  if (setting === "all" || fault !== "none") return ALWAYS;
  if (typeof setting === "object") return RATED;
  return setting === "errors" ? 0 : setting;
}

/** Ends within `httpRequest`, which goes on with numbers. Where heads differ each time this is most of what a line costs. */
function headText(
  { head, peer }: Exchange,
  caller: Caller | undefined,
  { project, trustedHops }: ExchangeLogOptions,
): string {
  const method = quote(head.method, MAX_METHOD);
  const agent = find(head.headers, "user-agent");
  const address = clientAddress(head, peer, trustedHops);
  const from = agent === undefined ? "" : `,"userAgent":${quote(agent, MAX_AGENT)}`;
  const who = caller === undefined ? "" : `,"caller":${quote(caller.email, MAX_CALLER)}`;
  const path = quote(pathOf(head.path), MAX_PATH);
  return `,"message":${method.slice(0, -1)} ${path.slice(1)}${who}${traceText(readTrace(head.headers), project)},"httpRequest":{"requestMethod":${method},"requestUrl":${path},"protocol":"HTTP/${head.version}","remoteIp":${quote(address, MAX_ADDRESS)}${from}`;
}

/** A path may be logged; a query may hold secrets and is not. */
function pathOf(target: string): string {
  const query = target.indexOf("?");
  return target.slice(0, Math.min(MAX_PATH, query < 0 ? target.length : query));
}

function traceText(trace: Trace | undefined, project: string | undefined): string {
  if (trace === undefined) return "";
  const { traceId, spanId, sampled } = trace;
  const name = project === undefined ? traceId : `projects/${project}/traces/${traceId}`;
  const span = spanId === undefined ? "" : `,"logging.googleapis.com/spanId":"${spanId}"`;
  return `,"logging.googleapis.com/trace":"${name}"${span},"logging.googleapis.com/trace_sampled":${sampled}`;
}

/** Begins within `httpRequest`, ends the line. What a worker answers most of the time is kept with its tally. */
function end(ended: Ended): Buffer {
  const { exchange, outcome, tally, route, error } = ended;
  const status = exchange.status ?? error?.row.http ?? 0;
  if (error !== undefined) return Buffer.from(endText(ended, status));
  const isKnown = tally.logOutcome === outcome && tally.logStatus === status && tally.logRoute === route;
  if (tally.logText === undefined || !isKnown) {
    tally.logOutcome = outcome;
    tally.logRoute = route;
    tally.logStatus = status;
    tally.logText = Buffer.from(endText(ended, status));
  }
  return tally.logText;
}

function endText({ exchange, outcome, tally, route, error }: Ended, status: number): string {
  const { fault } = OUTCOMES[outcome] ?? { fault: "edge" };
  const line = {
    severity: SEVERITIES[LEVEL_OF_FAULT[fault]],
    route,
    outcome: error?.code ?? "ok",
    // Why, where there is more to say than the code does.
    reason: error === undefined || error.message === error.row.text ? undefined : cut(error.message),
    grpcStatus: grpcStatusOf(exchange, route, error),
    worker: tally.worker === "" ? undefined : tally.worker,
  };
  return `","status":${status}},${ascii(JSON.stringify(line)).slice(1)}\n`;
}

function grpcStatusOf(exchange: Exchange, route: Route, error: EdgeError | undefined): string | undefined {
  if (route !== "grpc" && route !== "grpc-web") return undefined;
  const status = error?.row.grpc ?? exchange.grpcStatus;
  return status === undefined ? undefined : grpcStatusName(status);
}

/** Text that JSON has as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** As JSON, with `max` characters at most between the quotes. */
function quote(text: string, max: number): string {
  const some = text.slice(0, max);
  if (PLAIN.test(some)) return `"${some}"`;
  const json = ascii(JSON.stringify(some));
  // Many of its characters are written as several: those are left out that do not fit as a whole.
  return json.length <= max + 2 ? json : `${WHOLE.exec(json.slice(0, max + 1))?.[0] ?? '"'}"`;
}

/** A string of JSON, without its last quote, up to where it is cut within an escape. */
const WHOLE = /^"(?:[^\\]|\\[^u]|\\u[0-9a-f]{4})*/;

function cut(reason: string): string {
  return JSON.parse(quote(reason, MAX_REASON)) as string;
}

/** JSON in ASCII: bytes of a path that are none are told one by one, as they came. */
function ascii(json: string): string {
  return json.replace(/[^ -~]/g, escape);
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
