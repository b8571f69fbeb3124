import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import type { FailureCode } from "../../edge/errors.ts";
import { HeadMemo } from "../../edge/exchange.ts";
import type { Exchange, Route } from "../../edge/exchange.ts";
import type { ExchangeLogOptions } from "../../edge/observe/exchange-log.ts";
import { ExchangeLog } from "../../edge/observe/exchange-log.ts";
import { createLog } from "../../edge/observe/log.ts";
import { Tally } from "../../edge/observe/metrics.ts";
import { OUTCOMES, outcomeOf } from "../../edge/observe/outcomes.ts";

type Line = Record<string, unknown> & { readonly httpRequest: Record<string, unknown> };

const OPTIONS: ExchangeLogOptions = { logRequests: "all", project: undefined, trustedHops: 0 };
const ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACED = ["traceparent", `00-${ID}-00f067aa0ba902b7-01`];

interface Given {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: string[];
  readonly route?: Route;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly error?: EdgeError;
  readonly worker?: string | Tally;
  readonly ms?: number;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly fields?: Record<string, unknown>;
  readonly format?: "json" | "pretty";
}

/** The text of one exchange's line. */
function textOf(given: Given, options: Partial<ExchangeLogOptions> = {}): string {
  let text = "";
  const output = { write: (line: Buffer) => void (text += line.toString()), flush: () => {}, dropped: 0 };
  const { fields, format = "json" } = given;
  const log = createLog({ level: "info", format, ...(fields === undefined ? {} : { fields }) }, output);
  const { method = "POST", path = "/a", headers = [] } = given;
  const { status = 200, grpcStatus, bytesIn = 0, bytesOut = 0 } = given;
  const head = { version: "2", method, path, headers, protocol: undefined, memo: new HeadMemo() };
  const peer = { address: "10.0.0.9" };
  const exchange = { head, peer, status, grpcStatus, bytesIn, bytesOut } as unknown as Exchange;
  const { route = "http", error, worker = "http://a:1", ms = 1 } = given;
  new ExchangeLog(log, { ...OPTIONS, ...options }).write({
    exchange,
    route,
    caller: { email: "a@example.com", subject: "1" },
    outcome: outcomeOf(exchange, error),
    error,
    tally: typeof worker === "string" ? new Tally(worker) : worker,
    now: performance.now(),
    ms,
  });
  return text;
}

function lineOf(given: Given, options: Partial<ExchangeLogOptions> = {}): Line {
  return JSON.parse(textOf(given, options)) as Line;
}

test("a line has Cloud Logging's names", () => {
  const { time, ...line } = lineOf(
    {
      path: "/Echo/Ping?secret=1",
      headers: ["user-agent", "grpc-node", ...TRACED],
      route: "grpc",
      grpcStatus: 5,
      ms: 12.3456,
      bytesIn: 5,
      bytesOut: 1234567890123,
      fields: { pid: 7 },
    },
    { project: "a-project" },
  );
  assert.ok(Math.abs(Date.now() - Date.parse(String(time))) < 5000, String(time));
  assert.deepEqual(line, {
    pid: 7,
    message: "POST /Echo/Ping",
    caller: "a@example.com",
    "logging.googleapis.com/trace": `projects/a-project/traces/${ID}`,
    "logging.googleapis.com/spanId": "00f067aa0ba902b7",
    "logging.googleapis.com/trace_sampled": true,
    httpRequest: {
      requestMethod: "POST",
      requestUrl: "/Echo/Ping",
      protocol: "HTTP/2",
      remoteIp: "10.0.0.9",
      userAgent: "grpc-node",
      latency: "0.012346s",
      requestSize: "5",
      responseSize: "1234567890123",
      status: 200,
    },
    severity: "WARNING",
    route: "grpc",
    outcome: "ok",
    grpcStatus: "NOT_FOUND",
    worker: "http://a:1",
  });
});

test("calls over gRPC and gRPC-Web to one worker: each has its own route, and both a gRPC status", () => {
  const worker = new Tally("h2c://a:1");
  const routes: Route[] = ["grpc", "grpc-web", "grpc-web", "grpc"];
  const lines = routes.map((route) => lineOf({ route, grpcStatus: 0, worker }));
  assert.deepEqual(
    lines.map(({ route, grpcStatus }) => [route, grpcStatus]),
    routes.map((route) => [route, "OK"]),
  );
  const refused = lineOf({ route: "grpc-web", error: new EdgeError("overloaded") });
  assert.equal(refused["grpcStatus"], "RESOURCE_EXHAUSTED");
});

test("without a project a trace is told by its id alone", () => {
  assert.equal(lineOf({ headers: TRACED })["logging.googleapis.com/trace"], ID);
});

test("a failure: its code, why, and the status that it stands for", () => {
  const error = new EdgeError("upstream_garbage", "the worker answered HTTP 404, and not gRPC");
  const line = lineOf({ route: "grpc", error, worker: "" });
  assert.deepEqual(
    [line["severity"], line["outcome"], line["reason"], line["grpcStatus"], "worker" in line],
    ["ERROR", "upstream_garbage", error.message, "INTERNAL", false],
  );
});

for (const path of ['/\u0000\u001f"\\\u007f', "/é\u00ff\u2028", `/${"x".repeat(70_000)}`, "/a\r\nb: c"]) {
  test(`a line is one line of ASCII whatever the path: ${JSON.stringify(path.slice(0, 9))}`, () => {
    const text = textOf({ path, headers: ["user-agent", path] });
    assert.match(text, /^[ -~]+\n$/);
    assert.equal((JSON.parse(text) as Line).httpRequest["requestUrl"], path.slice(0, 1024));
    assert.ok(text.length < 32_768);
  });
}

test("a method of any length is logged, as far as its beginning", () => {
  const { message, httpRequest } = lineOf({ method: "A".repeat(60_000), path: "/\u0001".repeat(9000) });
  assert.equal(httpRequest["requestMethod"], "A".repeat(32));
  assert.equal(message, `${"A".repeat(32)} ${httpRequest["requestUrl"]}`);
});

for (const [ms, want] of [
  [0, "0.000000s"],
  [0.0004, "0.000000s"],
  [0.9999, "0.001000s"],
  [999.9999, "1.000000s"],
  [3_600_000.5, "3600.000500s"],
] as const) {
  test(`latency: ${ms} ms is ${want}`, () => assert.equal(lineOf({ ms }).httpRequest["latency"], want));
}

test("on a terminal: a few words", () => {
  const text = textOf({ path: "/ping", headers: TRACED, ms: 1.5, format: "pretty" });
  assert.match(
    text,
    /^\d\d:\d\d:\d\d\.\d{3} POST \/ping 200 1\.5ms HTTP\/2 caller=a@example\.com route=http worker=http:\/\/a:1\n$/,
  );
});

test("on a terminal: no path tells it anything but characters", () => {
  const text = textOf({ path: "/\x9b2J\x85\x1b\x7f\xe4", format: "pretty" });
  assert.match(text, / POST \/\\u009b2J\\u0085\\u001b\\u007fä 200 /);
});

/** Which of these ends have a line. */
function wanted(level: string, logRequests: ExchangeLogOptions["logRequests"], random = 0.5): string[] {
  const output = { write: () => {}, flush: () => {}, dropped: 0 };
  const log = new ExchangeLog(
    createLog({ level, format: "json" }, output),
    { ...OPTIONS, logRequests },
    () => random,
  );
  return ["2xx", "4xx", "5xx", "client_gone", "upstream_reset"].filter((name) =>
    log.wants(
      OUTCOMES.findIndex((outcome) => outcome.name === name),
      0,
    ),
  );
}

const ALL = ["2xx", "4xx", "5xx", "client_gone", "upstream_reset"];
const BAD = ALL.slice(1);
const WORST = ["5xx", "upstream_reset"];
const shares: [level: string, setting: ExchangeLogOptions["logRequests"], random: number, want: string[]][] =
  [
    ["info", "all", 0.99, ALL],
    ["info", "errors", 0, BAD],
    ["info", "off", 0, []],
    ["info", 0, 0, BAD],
    ["info", 1, 0.99, ALL],
    ["info", 0.01, 0.009, ALL],
    ["info", 0.01, 0.01, BAD],
    ["warn", "all", 0, BAD],
    ["error", "all", 0, WORST],
    ["error", "off", 0, []],
    ["silent", "all", 0, []],
  ];
for (const [level, setting, random, want] of shares) {
  test(`LOG_LEVEL=${level} LOG_REQUESTS=${setting}, drawn ${random}: ${want.join(" ") || "none"}`, () =>
    assert.deepEqual(wanted(level, setting, random), want));
}

test("LOG_REQUESTS=3/s: three in a second of those that ended well, and every error", () => {
  const output = { write: () => {}, flush: () => {}, dropped: 0 };
  const options = { ...OPTIONS, logRequests: { perSecond: 3 } };
  const log = new ExchangeLog(createLog({ level: "info", format: "json" }, output), options);
  const [good, bad] = [2, 5];
  const at = (outcome: number, ...times: number[]): boolean[] => times.map((now) => log.wants(outcome, now));
  assert.deepEqual(at(good, 5000, 5001, 5002, 5003, 5999.9), [true, true, true, false, false]);
  assert.deepEqual(at(bad, 5999.9, 5999.9), [true, true]);
  assert.deepEqual(at(good, 6000, 6001, 6002, 6003), [true, true, true, false]);
  assert.equal(log.leftOut, 3);
});

const severities: [code: FailureCode, severity: string][] = [
  ["unauthenticated", "WARNING"],
  ["client_gone", "WARNING"],
  ["internal", "ERROR"],
  ["no_upstream", "ERROR"],
];
for (const [code, severity] of severities) {
  test(`${code} is ${severity}`, () =>
    assert.equal(lineOf({ error: new EdgeError(code) })["severity"], severity));
}

// What the kernel takes in one piece (PIPE_BUF): several processes may write to the same pipe.
for (const [what, long] of [
  ["plain text", "a".repeat(5000)],
  ["quotes", '"'.repeat(5000)],
  ["backslashes", "a" + "\\".repeat(5000)],
  ["bytes that are not ASCII", "\u00e9\u00ff".repeat(2500)],
] as const)
  test(`a line of ${what} is no longer than a pipe takes in one piece, and can be read`, () => {
    const project = "p".repeat(30);
    const given: Given = {
      method: "M".repeat(5000),
      path: `/${long}`,
      headers: ["user-agent", long, "x-forwarded-for", "f".repeat(45), ...TRACED],
      route: "grpc-web",
      error: new EdgeError("upstream_unprocessed", long),
      worker: `https://${"w".repeat(253)}:65535`,
      ms: 1e9,
      bytesIn: Number.MAX_SAFE_INTEGER,
      bytesOut: Number.MAX_SAFE_INTEGER,
      fields: { pid: 4_194_304 },
    };
    const options = { project, trustedHops: 1 };
    const bytes = Buffer.byteLength(textOf(given, options));
    assert.ok(bytes <= 4096, `${bytes} bytes`);
    const { httpRequest, reason } = lineOf(given, options);
    assert.ok(`/${long}`.startsWith(String(httpRequest["requestUrl"])));
    assert.ok(long.startsWith(String(httpRequest["userAgent"])));
    assert.ok(long.startsWith(String(reason)) && String(reason).length > 40);
  });
