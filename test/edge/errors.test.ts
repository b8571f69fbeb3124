import assert from "node:assert/strict";
import { test } from "node:test";
import type { FailureCode } from "../../edge/errors.ts";
import {
  EdgeError,
  FAILURES,
  fromConnecting,
  fromSecuring,
  fromUpstream,
  toEdgeError,
} from "../../edge/errors.ts";
import { CODE } from "../../edge/http2/frame.ts";
import { encodeGrpcMessage, grpcRefusal, httpRefusal } from "../../edge/refusal.ts";
import { find } from "../../edge/headers.ts";

for (const [code, row] of Object.entries(FAILURES)) {
  test(`${code} can be shown by every protocol`, () => {
    assert.ok(row.http >= 400 && row.http <= 599);
    assert.ok(row.grpc >= 1 && row.grpc <= 16);
    assert.ok(row.reset in CODE);
    assert.ok(row.close >= 1001 && row.close <= 1014);
    assert.ok(row.text.length > 0);
  });
  test(`${code} over HTTP is its status with a JSON body of the announced length`, () => {
    const { status, headers, body } = httpRefusal(new EdgeError(code as FailureCode));
    assert.equal(status, row.http);
    assert.equal(find(headers, "content-length"), String(body.length));
    assert.deepEqual(JSON.parse(body.toString()), { error: code, message: row.text });
    assert.equal(find(headers, "www-authenticate") !== undefined, row.http === 401);
    assert.equal(find(headers, "retry-after") !== undefined, row.http === 503);
  });
  test(`${code} over gRPC is trailers-only with HTTP 200`, () => {
    const { status, headers, body } = grpcRefusal(new EdgeError(code as FailureCode));
    assert.equal(status, 200);
    assert.equal(find(headers, "grpc-status"), String(row.grpc));
    assert.equal(body.length, 0);
  });
}

test("only what was not processed may be retried", () => {
  const retried = Object.entries(FAILURES)
    .filter(([, row]) => row.retry)
    .map(([code]) => code);
  assert.deepEqual(retried, [
    "identity_unavailable",
    "upstream_refused",
    "upstream_unprocessed",
    "upstream_tls",
  ]);
});

const node: [thrown: unknown, connecting: FailureCode, established?: FailureCode][] = [
  [{ code: "ECONNREFUSED" }, "upstream_refused", "upstream_reset"],
  [{ code: "ENOENT" }, "upstream_refused", "upstream_reset"],
  [{ code: "EHOSTUNREACH" }, "upstream_refused", "upstream_reset"],
  [{ code: "ENETUNREACH" }, "upstream_refused", "upstream_reset"],
  [{ code: "ETIMEDOUT" }, "upstream_refused", "upstream_reset"],
  [{ code: "EMFILE" }, "out_of_files", "upstream_reset"],
  [{ code: "ENFILE" }, "out_of_files", "upstream_reset"],
  [{ code: "ECONNRESET" }, "upstream_reset"],
  [{ code: "HPE_INVALID_CONSTANT" }, "upstream_garbage"],
  [new Error("no code"), "upstream_reset"],
  [undefined, "upstream_reset"],
  [new EdgeError("deadline"), "deadline"],
];
for (const [thrown, connecting, established = connecting] of node) {
  test(`a connection that cannot be had, with ${JSON.stringify(thrown)}, is ${connecting}`, () =>
    assert.equal(fromConnecting(thrown).code, connecting));
  test(`a failed upstream call with ${JSON.stringify(thrown)} is ${established}`, () =>
    assert.equal(fromUpstream(thrown).code, established));
}

const securing: [thrown: unknown, code: FailureCode][] = [
  [{ code: "ECONNREFUSED" }, "upstream_refused"],
  [{ code: "ECONNRESET" }, "upstream_refused"],
  [{ code: "ENOTFOUND" }, "upstream_refused"],
  [undefined, "upstream_refused"],
  [{ code: "CERT_HAS_EXPIRED" }, "upstream_tls"],
  [{ code: "ERR_TLS_CERT_ALTNAME_INVALID" }, "upstream_tls"],
  [{ code: "ERR_SSL_WRONG_VERSION_NUMBER" }, "upstream_tls"],
  [{ code: "EPROTO" }, "upstream_tls"],
  [new EdgeError("deadline"), "deadline"],
];
for (const [thrown, code] of securing) {
  test(`a TLS handshake that fails with ${JSON.stringify(thrown)} is ${code}`, () =>
    assert.equal(fromSecuring(thrown).code, code));
}

const reasons: [cause: unknown, reason: string][] = [
  [undefined, "the worker cannot be reached"],
  [new Error("connect ECONNREFUSED 127.0.0.1:1"), "connect ECONNREFUSED 127.0.0.1:1"],
  [
    Object.assign(new AggregateError([new Error("a"), new Error("b")]), { code: "ECONNREFUSED" }),
    "ECONNREFUSED",
  ],
];
for (const [cause, reason] of reasons) {
  test(`the log hears the reason: ${reason}`, () =>
    assert.equal(new EdgeError("upstream_refused", undefined, cause).reason, reason));
}

test("a failure has no stack, which would cost more than all else of a refusal; what lies behind it keeps its own", () => {
  const failure = toEdgeError(new Error("a mistake"));
  assert.doesNotMatch(failure.stack ?? "", /\n\s+at /);
  assert.match((failure.cause as Error).stack ?? "", /\n\s+at .*errors\.test\.ts/);
  assert.match(new Error("afterwards").stack ?? "", /\n\s+at .*errors\.test\.ts/);
});

test("an unforeseen error says nothing of itself", () => {
  const error = toEdgeError(new Error("secret detail"));
  assert.equal(error.code, "internal");
  assert.doesNotMatch(error.message, /secret/);
});

test("grpc-message is percent-encoded (gRPC over HTTP/2, Status-Message)", () => {
  assert.equal(encodeGrpcMessage("a%b\n\u00e9"), "a%25b%0A%C3%A9");
});
