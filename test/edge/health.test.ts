// What health checks are written as, and what a gRPC worker's answer means.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthCheck, HealthKind } from "../../edge/settings/health-check.ts";
import { healthCheck } from "../../edge/settings/health-check.ts";
import { SettingError } from "../../edge/settings/parse.ts";
import { healthRequest, judgeHealth } from "../../edge/upstream/health-grpc.ts";

const ALL: readonly HealthKind[] = ["off", "tcp", "http", "grpc", "websocket"];

const read: [text: string, want: HealthCheck][] = [
  ["off", { kind: "off" }],
  ["tcp", { kind: "tcp" }],
  ["http:/", { kind: "http", path: "/" }],
  ["http:/healthz?full=1", { kind: "http", path: "/healthz?full=1" }],
  ["http:/a:b", { kind: "http", path: "/a:b" }],
  ["grpc", { kind: "grpc", service: "" }],
  ["grpc:my.Service_1", { kind: "grpc", service: "my.Service_1" }],
  ["websocket:/ws", { kind: "websocket", path: "/ws" }],
];
for (const [text, want] of read) {
  test(`the check ${text}`, () => assert.deepEqual(healthCheck(...ALL)(text), want));
}

// prettier-ignore
const refused = ["", "of", "TCP", "tcp:", "tcp:80", "off:", "http", "http:", "http:ping", "http:/a b", "http:/a\r\nx: y", "http:/a#b", "http:/é", "grpc:", "grpc:a b", "grpc:/a/B", `grpc:${"a".repeat(101)}`, "websocket", "websocket:ws", `http:/${"a".repeat(1000)}`];
for (const text of refused) {
  test(`the check ${JSON.stringify(text).slice(0, 40)} is refused`, () =>
    assert.throws(() => healthCheck(...ALL)(text), SettingError));
}

test("a check that does not suit the protocol is refused in words", () => {
  assert.throws(() => healthCheck("off", "tcp", "grpc")("http:/ping"), {
    message: 'must be off or tcp or grpc or grpc:service, not "http:/ping"',
  });
});

test("a HealthCheckRequest is bytes", () => {
  assert.equal(healthRequest("").toString("hex"), "0000000000");
  assert.equal(healthRequest("Echo").toString("hex"), "00000000060a044563686f");
});

const frame = (hex: string): Buffer => {
  const message = Buffer.from(hex, "hex");
  return Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
};
const answers: [why: string, status: string | undefined, body: Buffer, want: RegExp | undefined][] = [
  ["SERVING", "0", frame("0801"), undefined],
  ["NOT_SERVING", "0", frame("0802"), /^it is NOT_SERVING$/],
  ["SERVICE_UNKNOWN", "0", frame("0803"), /^it is SERVICE_UNKNOWN$/],
  ["UNKNOWN, which is an empty message", "0", frame(""), /^it is UNKNOWN$/],
  ["a state that is not known", "0", frame("0809"), /^it is in state 9$/],
  ["no message", "0", Buffer.alloc(0), /no HealthCheckResponse/],
  ["half a message", "0", frame("0801").subarray(0, 6), /no HealthCheckResponse/],
  ["two messages", "0", Buffer.concat([frame("0801"), frame("0801")]), /no HealthCheckResponse/],
  [
    "a compressed message",
    "0",
    Buffer.concat([Buffer.from([1]), frame("0801").subarray(1)]),
    /no HealthCheckResponse/,
  ],
  ["another message", "0", frame("0a0161"), /no HealthCheckResponse/],
  ["UNIMPLEMENTED: it has no health service", "12", Buffer.alloc(0), undefined],
  ["NOT_FOUND", "5", Buffer.alloc(0), /knows no service/],
  ["UNAVAILABLE", "14", Buffer.alloc(0), /^it answered gRPC status 14$/],
  ["no status", undefined, frame("0801"), /status none/],
];
for (const [why, status, body, want] of answers) {
  test(`a gRPC worker that answers ${why} is ${want === undefined ? "well" : "not well"}`, () => {
    const verdict = judgeHealth(status === undefined ? [] : ["grpc-status", status], body);
    if (want === undefined) return assert.equal(verdict, undefined);
    return assert.match(verdict?.message ?? "", want);
  });
}
