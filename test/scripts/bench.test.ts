import assert from "node:assert/strict";
import { test } from "node:test";
import * as calls from "../../scripts/bench/calls.ts";
import type { H2loadOrder } from "../../scripts/bench/h2load.ts";
import { readLog, readOutput } from "../../scripts/bench/h2load-output.ts";
import { OptionError, contendersFor, readOptions } from "../../scripts/bench/options.ts";
import { ROWS } from "../../scripts/bench/rows.ts";
import { judge } from "../../scripts/bench/soak.ts";
import { line } from "../../scripts/bench/statistics.ts";
import { output, ROOT } from "../support/processes.ts";

const MIB = 2 ** 20;

/** A reading every 10 s for 10 minutes. */
function memory(mebibytesAt: (minute: number) => number) {
  return Array.from({ length: 60 }, (_, index) => {
    const minute = (index + 1) / 6;
    return { minute, bytes: mebibytesAt(minute) * MIB };
  });
}

/** Neither a rise nor a fall: as garbage comes and goes. */
function noise(minute: number): number {
  return 20 * Math.sin(minute * 40);
}

const soaks: [why: string, points: ReturnType<typeof memory>, grows: boolean][] = [
  ["memory that stays", memory(() => 200), false],
  ["memory that comes and goes", memory((minute) => 200 + noise(minute)), false],
  ["memory that rises only at first", memory((minute) => 200 + 50 * Math.min(minute, 4)), false],
  ["a leak of 10 MiB a minute", memory((minute) => 200 + 10 * minute + noise(minute)), true],
  ["memory that falls", memory((minute) => 300 - 10 * minute), false],
];
for (const [why, points, grows] of soaks) {
  test(`a soak's verdict on ${why}`, () => assert.equal(judge(points).grows, grows));
}

test("the line with the least squares", () => {
  const { slope, error } = line([0, 1, 2, 3].map((x) => [x, 5 - 2 * x]));
  assert.deepEqual([slope, error], [-2, 0]);
});

const sizes: [why: string, call: calls.HttpCall, asked: number, replied: number][] = [
  ["a ping", calls.GRPC_PING, 11, 11],
  ["100 messages of 64 bytes", calls.GRPC_STREAM_SMALL, 9, 100 * (5 + 4 + 64)],
  ["16 messages of 16 KiB", calls.GRPC_STREAM_LARGE, 11, 16 * (5 + 6 + 16_384)],
  ["100 messages there and back", calls.GRPC_BIDI, 100 * (5 + 2 + 64), 100 * (5 + 2 + 64)],
  ["1 MiB there and back", calls.GRPC_LARGE, 5 + 4 + MIB, 5 + 4 + MIB],
];
for (const [why, call, asked, replied] of sizes) {
  test(`bytes of a gRPC call with ${why}`, () => {
    assert.deepEqual([call.body?.length, call.replyBytes], [asked, replied]);
  });
}

const ORDER: H2loadOrder = {
  call: calls.GRPC_PING,
  port: 1,
  connections: 2,
  streams: 1,
  seconds: 1,
  headers: {},
  rate: undefined,
};

/** What h2load says of 100 good replies of 11 bytes on two connections. */
const SUMMARY = `
finished in 1.00s, 100.00 req/s, 4.00KB/s
requests: 100 total, 102 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 4.00KB (4096) total, 300B (300) headers (space savings 96.20%), 1.07KB (1100) data
                     min         max         mean         sd        +/- sd
time for request:       88us      3.41ms       201us        75us    97.40%
req/s           :       48.00       52.00       50.00        2.00    50.00%
`;

test("h2load's summary of a good run", () => {
  assert.deepEqual(readOutput(SUMMARY, ORDER), { requests: 100, perSecond: 100 });
});

const failures: [why: string, was: string, is: string, says: RegExp][] = [
  ["nothing succeeded", "100 succeeded", "0 succeeded", /no request succeeded/],
  ["a request failed", "0 failed", "1 failed", /failed: 1/],
  ["a reply was a 503", "0 5xx", "1 5xx", /no 2xx/],
  ["a gRPC failure had no body", "(1100) data", "(1089) data", /incomplete/],
  ["bytes were too many", "(1100) data", "(1123) data", /longer/],
  ["a connection got nothing", "48.00 ", "0.00 ", /stood still/],
];
for (const [why, was, is, says] of failures) {
  test(`h2load's summary is an error where ${why}`, () => {
    assert.ok(SUMMARY.includes(was));
    assert.throws(() => readOutput(SUMMARY.replace(was, is), ORDER), says);
  });
}

test("h2load's log as milliseconds, ascending", () => {
  assert.deepEqual([...readLog("1000000\t200\t2000\n1900000\t200\t500\n", 1)], [0.5, 2]);
});

test("h2load's log is an error where replies stop half-way", () => {
  assert.throws(() => readLog("1000000\t200\t2000\n1300000\t200\t500\n", 1), /stopped after 301 ms/);
});

const mistakes: [why: string, args: string[]][] = [
  ["a row there is not", ["--rows", "nothing"]],
  ["a contender there is not", ["--contenders", "nobody"]],
  ["other backends", ["--backends", "slow"]],
  ["a soak of no time", ["--soak", "0"]],
];
for (const [why, args] of mistakes) {
  test(`the benchmark refuses ${why}`, () => assert.throws(() => readOptions(args), OptionError));
}

function namesOf(args: string[]): string[] {
  return readOptions(args).rows.map(({ name }) => name);
}

test("the soak runs only when asked for, and then alone", () => {
  assert.ok(!namesOf([]).includes("soak"));
  assert.equal(namesOf([]).length, ROWS.length - 1);
  assert.deepEqual(namesOf(["--soak", "3"]), ["soak"]);
  assert.deepEqual(namesOf(["--rows", "soak"]), ["soak"]);
  assert.deepEqual(namesOf(["--soak", "3", "--rows", "ws-idle"]), ["ws-idle", "soak"]);
});

function who(rowName: string, args: string[]): string[] {
  const row = ROWS.find(({ name }) => name === rowName);
  assert.ok(row !== undefined);
  return contendersFor(row, readOptions(args)).map(({ name }) => name);
}

test("tokens take part where requests are small, or where they are named", () => {
  assert.ok(who("grpc-unary-4x25", []).includes("oneport-token"));
  assert.ok(!who("grpc-unary-1MiB", []).includes("oneport-token"));
  assert.deepEqual(who("grpc-unary-1MiB", ["--contenders", "oneport-token"]), ["oneport-token"]);
  assert.deepEqual(who("soak", []), ["oneport"]);
});

test("--list names every row", async () => {
  const { out, exited } = await output(process.execPath, [`${ROOT}scripts/bench/main.ts`, "--list"]);
  assert.equal((await exited).code, 0);
  for (const { name } of ROWS) assert.match(out, new RegExp(`^ {2}${name} `, "m"));
});
