import { healthCheck } from "./health-check.ts";
import type { Address, Parse } from "./parse.ts";
import {
  SettingError,
  account,
  audience,
  either,
  httpUrl,
  integer,
  list,
  oneOf,
  onOff,
  origin,
  originRule,
  path,
  project,
  sampling,
  text,
  upstreams,
} from "./parse.ts";

interface Setting<T> {
  readonly env: string;
  readonly parse: Parse<T>;
  readonly fallback: string | undefined;
  readonly doc: string;
  /** True when set but empty is a value of its own, and not the fallback. */
  readonly emptyCounts?: boolean;
}

/** The protocols that have upstreams of their own, as settings and the admin port call them. */
export const UPSTREAMS = { http: "httpUpstreams", grpc: "grpcUpstreams", ws: "wsUpstreams" } as const;

export type Protocol = keyof typeof UPSTREAMS;

/** A setting that always has a value. */
function given<T>(
  env: string,
  parse: Parse<T>,
  fallback: string,
  doc: string,
  emptyCounts = false,
): Setting<T> & { fallback: string } {
  return { env, parse, fallback, doc, emptyCounts };
}

/** A setting that may be absent. */
function optional<T>(env: string, parse: Parse<T>, doc: string): Setting<T> & { fallback: undefined } {
  return { env, parse, fallback: undefined, doc };
}

const MODES = oneOf("verify", "iap", "off");
const HOUR_MS = 3_600_000;

/** Every setting of the edge, a row each: docs/settings.md is made from this table. */
// prettier-ignore
export const SETTINGS = {
  port:            given("PORT", integer(0, 65_535), "8080", "The one public port, on all interfaces; 0 takes a free one."),
  audience:        optional("AUTH_AUDIENCE", text, "`aud` that an ID token must carry."),
  accounts:        optional("AUTH_SERVICE_ACCOUNTS", list(account), "Comma list of allowed emails; `*` is any verified identity with that audience."),
  authMode:        optional("AUTH_MODE", MODES, "`verify` (Google ID token), `iap` (Identity-Aware Proxy) or `off`. Without it: `verify` when an audience is set, else `off`."),
  publicPaths:     given("AUTH_PUBLIC_PATHS", list(path), "/ping", "Comma list of paths that need no token, compared byte for byte. Empty: none.", true),
  certsUrl:        optional("AUTH_CERTS_URL", httpUrl, "Where verification keys come from: a PEM map or a JWK set. Without it: Google's."),
  issuers:         optional("AUTH_ISSUERS", list(text), "Comma list of `iss` values that count. Without it: Google's."),
  httpUpstreams:   given("HTTP_UPSTREAMS", upstreams("http"), "http://127.0.0.1:8081", "HTTP workers: comma list of `http://host:port`, `https://host` or `unix:/path`, or `none`: HTTP is not served."),
  grpcUpstreams:   given("GRPC_UPSTREAMS", upstreams("h2c", "http"), "h2c://127.0.0.1:8082", "gRPC workers: comma list of `h2c://host:port`, `https://host` or `unix:/path`, or `none`: gRPC is not served."),
  wsUpstreams:     given("WS_UPSTREAMS", upstreams("http", "ws"), "http://127.0.0.1:8083", "WebSocket workers: comma list of `http://host:port`, `https://host` or `unix:/path`, or `none`: WebSockets are not served."),
  upstreamAuth:    given("UPSTREAM_AUTH", oneOf("auto", "google", "off"), "auto", "Which `https://` workers get a Google ID token of the edge's own, in `x-serverless-authorization`: those on Cloud Run (`*.run.app`), all (`google`), or none (`off`). It is made for that host alone."),
  upstreamAudience: optional("UPSTREAM_AUDIENCE", audience, "`aud` of these tokens, with `UPSTREAM_AUTH=google`. Without it: `https://` and the worker's host."),
  upstreamsFile:   optional("UPSTREAMS_FILE", text, "A file with `HTTP_UPSTREAMS=…`, `GRPC_UPSTREAMS=…`, `WS_UPSTREAMS=…`, a line each, which count more than the environment's; SIGHUP reads it again."),
  startupSeconds:  given("STARTUP_SECONDS", integer(1, 600), "60", "How long the workers have to become reachable before the edge gives up; the port opens when they are."),
  edgeProcesses:   given("EDGE_PROCESSES", either("auto", integer(1, 64)), "1", "Edge processes sharing the port, 1 to 64; `auto` is one for each whole CPU, a container's quota respected. From 2 on one more process shares out the connections."),
  adminPort:       optional("ADMIN_PORT", integer(0, 65_535), "Loopback port of `/livez`, `/readyz`, `/metrics` and `/upstreams`; 0 is none. Without it: 9090, or 9091 when `PORT` is 9090."),
  drainSeconds:    given("DRAIN_SECONDS", integer(0, 3600), "8", "What a SIGTERM leaves to running requests and tunnels. Cloud Run kills after 10."),
  webSocketOverH2: given("WEBSOCKET_OVER_HTTP2", onOff, "on", "Advertise RFC 8441 extended CONNECT."),
  webSocketOrigins: optional("WEBSOCKET_ORIGINS", list(originRule), "Whose pages may open WebSockets: comma list of origins such as `https://app.example.com`, `https://*.example.com` for all below it, `same` for the host that is asked, or `*` for every page. Handshakes without an Origin are no browser's, and pass. Without it: `same` with `AUTH_MODE=iap`, whose cookie a browser adds by itself, else `*`."),
  http1Carrier:    given("HTTP1_CARRIER", oneOf("http2-proxy", "direct"), "http2-proxy", "How requests that come over HTTP/1.1 get to their worker: by http2-proxy, or straight, which costs less."),
  corsOrigins:     optional("CORS_ORIGINS", list(origin), "Comma list of origins whose pages may make gRPC-Web calls, such as `https://app.example.com`; `*` is any. Without it: none but the edge's own."),
  corsCredentials: given("CORS_CREDENTIALS", onOff, "off", "Let those pages send cookies along with gRPC-Web calls."),
  doctor:          given("DOCTOR", onOff, "off", "Whether `/.well-known/oneport` tells a caller how its request came (HTTP version, upgrade, forwarding fields), for `npm run doctor`; it needs a token as any path does."),
  trustedHops:     optional("TRUSTED_HOPS", integer(0, 10), "Proxies in front of the edge whose `x-forwarded-*` count. Without it: 1 on Cloud Run, else 0."),
  headBytes:       given("LIMIT_HEAD_BYTES", integer(4096, 1_048_576), "65536", "Bytes of a request head; over it 431."),
  headMs:          given("LIMIT_HEAD_MS", integer(100, 60_000), "10000", "Milliseconds a client has to send a request head, counted from the first byte."),
  idleMs:          given("LIMIT_IDLE_MS", integer(1000, HOUR_MS), "620000", "Milliseconds a client connection may be idle; longer than the 600 s of Google's load balancers."),
  resets:          given("LIMIT_RESETS", integer(10, 1_000_000), "200", "HTTP/2 streams that a client may reset, or make the edge reset, at once; a quarter of it comes back each second (rapid reset)."),
  answers:         given("LIMIT_PINGS", integer(10, 1_000_000), "1000", "PING and SETTINGS frames at once, each of which wants an answer; a twentieth comes back each second."),
  empty:           given("LIMIT_EMPTY_FRAMES", integer(10, 1_000_000), "1000", "HTTP/2 frames without content, and PRIORITY frames, at once; a tenth comes back each second."),
  updates:         given("LIMIT_WINDOW_UPDATES", integer(100, 10_000_000), "20000", "WINDOW_UPDATE frames of less than 256 bytes at once; half of it comes back each second."),
  continuations:   given("LIMIT_CONTINUATIONS", integer(1, 1000), "64", "CONTINUATION frames of one HTTP/2 header block."),
  stallMs:         given("LIMIT_STALL_MS", integer(100, HOUR_MS), "60000", "Milliseconds in which a client has to take a kilobyte of what waits for it."),
  quietMs:         given("LIMIT_QUIET_MS", integer(100, HOUR_MS), "60000", "Milliseconds after which a silent HTTP/2 client with open streams is asked whether it is there; it has `LIMIT_HEAD_MS` to answer."),
  connections:     optional("LIMIT_CONNECTIONS", integer(1, 1_000_000), "Client connections that each edge process has at most; what is beyond is closed at once. Without it: half of the files it may have open (`ulimit -n`), less 32."),
  heldMib:         optional("LIMIT_HELD_MIB", integer(0, 1_048_576), "MiB that each edge process holds at most for clients and workers that do not take them: beyond it the client connections that hold most are ended, until three quarters of it are left. 0 is no bound. Without it: a quarter of the memory that the container may use, shared by the edge's processes, and 64 at least."),
  streams:         given("LIMIT_STREAMS", integer(1, 10_000), "256", "Concurrent HTTP/2 streams on one client connection."),
  maxActive:       given("LIMIT_UPSTREAM_ACTIVE", integer(1, 1_000_000), "10000", "Exchanges that one worker may have at a time, WebSockets and what waits for it included. When all have as many: 503 with `retry-after`, gRPC status 8 (RESOURCE_EXHAUSTED), at once."),
  maxUpstreamConnections: given("LIMIT_UPSTREAM_CONNECTIONS", integer(1, 1000), "16", "HTTP/2 connections to one gRPC worker at a time; another one is opened when all streams that it allows on these (SETTINGS_MAX_CONCURRENT_STREAMS) are used, or their windows; when there are as many, calls wait."),
  connectMs:       given("LIMIT_CONNECT_MS", integer(10, 60_000), "3000", "Milliseconds a connection to a worker may take, looking up its name and the TLS handshake included."),
  httpHealthCheck: given("HTTP_HEALTH_CHECK", healthCheck("off", "tcp", "http"), "tcp", "How it is found out whether an HTTP worker is well: `off`, `tcp` (it accepts a connection) or `http:/path` (it answers a GET with a 2xx)."),
  grpcHealthCheck: given("GRPC_HEALTH_CHECK", healthCheck("off", "tcp", "grpc"), "tcp", "The same for gRPC workers: `off`, `tcp`, `grpc` or `grpc:service` (grpc.health.v1 says SERVING, or is not implemented)."),
  wsHealthCheck:   given("WS_HEALTH_CHECK", healthCheck("off", "tcp", "http", "websocket"), "tcp", "The same for WebSocket workers: `off`, `tcp`, `http:/path` or `websocket:/path` (it accepts a WebSocket)."),
  healthIntervalMs: given("HEALTH_INTERVAL_MS", integer(100, HOUR_MS), "10000", "Milliseconds between two checks of a worker, a fifth more or less; each edge process checks."),
  healthTimeoutMs: given("HEALTH_TIMEOUT_MS", integer(10, 60_000), "2000", "Milliseconds that a check may take."),
  healthFailures:  given("HEALTH_FAILURES", integer(1, 100), "3", "Checks in a row that fail before a worker gets no new requests. A refused connection counts at once."),
  healthSuccesses: given("HEALTH_SUCCESSES", integer(1, 100), "2", "Checks in a row that pass before it gets them again."),
  ejectFailures:   given("EJECT_FAILURES", integer(0, 1000), "5", "Exchanges in a row that a worker breaks off, garbles or lets time out before it is left out for a while; 0 is never. The last one is never left out."),
  ejectMs:         given("EJECT_MS", integer(10, HOUR_MS), "10000", "Milliseconds that it is left out the first time, doubled each further time."),
  ejectMaxMs:      given("EJECT_MAX_MS", integer(10, HOUR_MS), "300000", "Milliseconds that it is left out at most."),
  retryPercent:    given("RETRY_PERCENT", integer(0, 100), "20", "Requests that may be sent again, of a hundred that one protocol had in the last 5 to 10 s; only what a worker has not processed, or may safely get twice, ever is."),
  retryPerSecond:  given("RETRY_PER_SECOND", integer(0, 1_000_000), "10", "Requests a second that may be sent again beside these."),
  replySeconds:    given("LIMIT_REPLY_SECONDS", integer(0, 3600), "300", "Seconds in which an HTTP worker has to begin its reply, counted from when it has the request, or stops reading it; then 504. 0 is no limit. How long a reply lasts is the worker's to say."),
  handshakeMs:     given("LIMIT_HANDSHAKE_MS", integer(100, 60_000), "10000", "Milliseconds a worker has to answer a WebSocket handshake."),
  tunnelSeconds:   given("LIMIT_TUNNEL_SECONDS", integer(0, 86_400), "0", "Seconds a WebSocket may last before it is closed with 1001; 0 is for ever. A little below the request time limit of the platform (Cloud Run cuts after 300 to 3600), so that clients see a clean end."),
  lingerMs:        given("LIMIT_LINGER_MS", integer(0, 60_000), "2000", "Milliseconds an HTTP/1.1 client may go on sending a body whose reply is complete."),
  logLevel:        given("LOG_LEVEL", oneOf("debug", "info", "warn", "error", "silent"), "info", "The least severe lines that are written; exchanges have lines of their own, see `LOG_REQUESTS`."),
  logRequests:     given("LOG_REQUESTS", either("all", either("errors", either("off", sampling))), "1000/s", "Which exchanges have a log line. Those that were refused or failed, unless it is `off`; of the others `all`, none (`errors`), a part (`0.01`) or so many a second at most (`1000/s`, for each edge process). `LOG_LEVEL` leaves out those below its severity."),
  project:         optional("GOOGLE_CLOUD_PROJECT", project, "Project of the traces that requests belong to: with it log lines name a trace as Cloud Logging does, `projects/…/traces/…`."),
  logFormat:       optional("LOG_FORMAT", oneOf("json", "pretty"), "`json` (Cloud Logging fields) or `pretty`. Without it: `pretty` on a terminal."),
} as const;

type Settings = typeof SETTINGS;
type Values = {
  readonly [K in keyof Settings]:
    | ReturnType<Settings[K]["parse"]>
    | (Settings[K]["fallback"] extends undefined ? undefined : never);
};

/** Everything the edge is told from outside, checked and complete. */
export interface Config extends Omit<Values, "authMode" | "webSocketOrigins" | "adminPort" | "trustedHops"> {
  readonly authMode: "verify" | "iap" | "off";
  readonly webSocketOrigins: readonly string[];
  readonly adminPort: number;
  readonly trustedHops: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** All mistakes found in the settings, a sentence each. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(mistakes.join("\n"));
    this.mistakes = mistakes;
  }
}

/** Reads the environment. Throws one ConfigError that names every mistake at once. */
export function readConfig(env: Environment): Config {
  const mistakes: string[] = unknownSettings(env);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    const raw = env[setting.env]?.trim();
    const given = raw === undefined || (raw === "" && setting.emptyCounts !== true) ? setting.fallback : raw;
    try {
      values[key] = given === undefined ? undefined : setting.parse(given);
    } catch (thrown) {
      if (!(thrown instanceof SettingError)) throw thrown;
      mistakes.push(`${setting.env} ${thrown.message}.`);
    }
  }
  const parsed = values as unknown as Values;
  mistakes.push(...upstreamMistakes(parsed), ...authMistakes(parsed, env), ...portMistakes(parsed));
  mistakes.push(
    ...originMistakes(parsed),
    ...ejectMistakes(parsed),
    ...identityMistakes(parsed),
    ...corsMistakes(parsed),
  );
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze({
    ...parsed,
    authMode: parsed.authMode ?? (parsed.audience === undefined ? "off" : "verify"),
    // With IAP a cookie is what lets a browser in, and it goes with whatever page asks.
    webSocketOrigins: parsed.webSocketOrigins ?? (parsed.authMode === "iap" ? ["same"] : ["*"]),
    adminPort: parsed.adminPort ?? (parsed.port === 9090 ? 9091 : 9090),
    trustedHops: parsed.trustedHops ?? (onCloudRun(env) ? 1 : 0),
  });
}

/** Fail closed: half a door is a mistake, and so is no door where the whole internet stands in front of it. */
function authMistakes(values: Values, env: Environment): string[] {
  const { audience, accounts, authMode } = values;
  const hasAccounts = accounts !== undefined && accounts.length > 0;
  const mistakes: string[] = [];
  if (audience === undefined && accounts?.length === 0) mistakes.push("AUTH_SERVICE_ACCOUNTS names nobody.");
  if (audience !== undefined && !hasAccounts) {
    mistakes.push(
      "AUTH_AUDIENCE is set without AUTH_SERVICE_ACCOUNTS: say who may call, or * for any verified identity.",
    );
  }
  if (audience === undefined && hasAccounts) {
    mistakes.push(
      "AUTH_SERVICE_ACCOUNTS is set without AUTH_AUDIENCE: without an audience a token made for anyone would pass.",
    );
  }
  if (authMode !== undefined && authMode !== "off" && audience === undefined && !hasAccounts) {
    mistakes.push(`AUTH_MODE=${authMode} needs AUTH_AUDIENCE and AUTH_SERVICE_ACCOUNTS.`);
  }
  if (authMode === "off" && audience !== undefined) {
    mistakes.push("AUTH_MODE=off contradicts AUTH_AUDIENCE: remove one of them.");
  }
  // Judged by what the settings came to, not by whether they were written: a blank value is no decision.
  if (onCloudRun(env) && authMode === undefined && audience === undefined && !hasAccounts) {
    mistakes.push(
      "On Cloud Run (K_SERVICE is set) the door is never left open by accident: set AUTH_AUDIENCE and AUTH_SERVICE_ACCOUNTS, or AUTH_MODE=off.",
    );
  }
  if (hasAccounts && accounts.length > 1 && accounts.includes("*")) {
    mistakes.push("AUTH_SERVICE_ACCOUNTS names * beside others: * alone lets any verified identity in.");
  }
  if (values.issuers?.length === 0) mistakes.push("AUTH_ISSUERS names nobody.");
  if (values.certsUrl !== undefined && values.issuers === undefined && audience !== undefined) {
    mistakes.push("AUTH_CERTS_URL is set without AUTH_ISSUERS: other keys need the issuer they belong to.");
  }
  return mistakes;
}

function originMistakes({ webSocketOrigins }: Values): string[] {
  if (webSocketOrigins?.length === 0) return ["WEBSOCKET_ORIGINS names no origin."];
  if (webSocketOrigins === undefined || webSocketOrigins.length === 1 || !webSocketOrigins.includes("*"))
    return [];
  return ["WEBSOCKET_ORIGINS names * beside others: * alone lets the pages of every site in."];
}

/** One audience for several hosts is a token that each could use at the others: only who says so gets that. */
function identityMistakes({ upstreamAudience, upstreamAuth }: Values): string[] {
  if (upstreamAudience === undefined || upstreamAuth === "google") return [];
  return ["UPSTREAM_AUDIENCE needs UPSTREAM_AUTH=google: else it is not said who gets a token for it."];
}

function portMistakes(values: Values): string[] {
  if (values.adminPort === undefined || values.adminPort === 0 || values.adminPort !== values.port) return [];
  return ["ADMIN_PORT must differ from PORT."];
}

function ejectMistakes({ ejectMs, ejectMaxMs }: Values): string[] {
  // What could not be read has been complained of.
  if (ejectMs === undefined || ejectMaxMs === undefined || ejectMs <= ejectMaxMs) return [];
  return ["EJECT_MAX_MS must not be less than EJECT_MS."];
}

/** Fetch, section 3.3.5: browsers refuse `*` with credentials, and a page of any origin shall not have them. */
function corsMistakes({ corsOrigins, corsCredentials }: Values): string[] {
  if (!corsCredentials) return [];
  if (corsOrigins === undefined || corsOrigins.length === 0)
    return ["CORS_CREDENTIALS is set without CORS_ORIGINS: say whose pages may send them."];
  return corsOrigins.includes("*") ? ["CORS_CREDENTIALS needs CORS_ORIGINS to name origins, not *."] : [];
}

function upstreamMistakes(values: Values): string[] {
  return Object.values(UPSTREAMS).flatMap((key) => {
    const mistake = mistakeIn(values[key] ?? []);
    // What could not be read has been complained of.
    return values[key] === undefined || mistake === undefined ? [] : [`${SETTINGS[key].env} ${mistake}.`];
  });
}

function mistakeIn(upstreams: readonly Address[]): string | undefined {
  const names = upstreams.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  return twice === undefined ? undefined : `names ${twice} twice`;
}

/** Reads upstreams of one protocol, written as in its setting. Throws a SettingError. */
export function readUpstreams(protocol: Protocol, list: string): readonly Address[] {
  const upstreams = SETTINGS[UPSTREAMS[protocol]].parse(list);
  const mistake = mistakeIn(upstreams);
  if (mistake !== undefined) throw new SettingError(mistake);
  return upstreams;
}

/** Settings that scripts/start/plan.ts reads: misspelt, they would leave the example workers in place of the ones that were meant. */
export const START_SETTINGS: readonly string[] = ["HTTP", "GRPC", "WS"].flatMap((protocol) => [
  `${protocol}_WORKERS`,
  `${protocol}_WORKER_COMMAND`,
]);

/** A misspelt setting must not be a silent default; a name in small letters, or that is only a letter or two off, is taken for one. */
function unknownSettings(env: Environment): string[] {
  const known = [...Object.values(SETTINGS).map((setting): string => setting.env), ...START_SETTINGS];
  return Object.keys(env).flatMap((name) => {
    if (known.includes(name)) return [];
    const meant = known.find((other) => other.length > 8 && editDistance(name.toUpperCase(), other) <= 2);
    return meant === undefined ? [] : [`${name} is not a setting; did you mean ${meant}?`];
  });
}

/** Levenshtein distance, as far as 3: what is further apart is not a misspelling. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 3;
}

function onCloudRun(env: Environment): boolean {
  return env["K_SERVICE"] !== undefined && env["K_SERVICE"] !== "";
}
