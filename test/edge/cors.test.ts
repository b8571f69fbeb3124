import assert from "node:assert/strict";
import { test } from "node:test";
import { Cors, isGrpcWebPreflight } from "../../edge/cors.ts";
import { ConfigError, readConfig } from "../../edge/settings/config.ts";
import type { RequestHead } from "../../edge/exchange.ts";
import { GET, fields, lines } from "../support/heads.ts";

const APP = "https://app.example.com";

function asks(fields: Record<string, string>, method = "OPTIONS"): RequestHead {
  return { ...GET, method, headers: Object.entries(fields).flat() };
}

const ASKED = {
  origin: APP,
  "access-control-request-method": "POST",
  "access-control-request-headers": "content-type,x-grpc-web,x-user-agent",
};

const questions: [why: string, head: RequestHead, is: boolean][] = [
  ["a gRPC-Web client's", asks(ASKED), true],
  ["one in other letters", asks({ ...ASKED, "access-control-request-headers": "X-Grpc-Web" }), true],
  ["another client's", asks({ ...ASKED, "access-control-request-headers": "content-type" }), false],
  [
    "one for a name that only looks like it",
    asks({ ...ASKED, "access-control-request-headers": "x-grpc-web2" }),
    false,
  ],
  ["one for another method", asks({ ...ASKED, "access-control-request-method": "PUT" }), false],
  ["one that is no question", asks(ASKED, "GET"), false],
  ["one without an origin", { ...asks(ASKED), headers: asks(ASKED).headers.slice(2) }, false],
];
for (const [why, head, is] of questions)
  test(`${why} preflight is ${is ? "" : "not "}the edge's to answer`, () =>
    assert.equal(isGrpcWebPreflight(head), is));

test("a preflight from an origin on the list is allowed what it asks for", () => {
  const cors = new Cors({ origins: ["https://other.example.com", APP], credentials: false });
  assert.deepEqual(lines(cors.preflightFields(asks(ASKED))), [
    "vary: origin",
    `access-control-allow-origin: ${APP}`,
    "access-control-allow-methods: POST",
    "access-control-allow-headers: content-type,x-grpc-web,x-user-agent",
    "access-control-max-age: 7200",
  ]);
});

test("credentials are allowed only where that was said", () => {
  const cors = new Cors({ origins: [APP], credentials: true });
  assert.ok(lines(cors.preflightFields(asks(ASKED))).includes("access-control-allow-credentials: true"));
  assert.ok(lines(cors.replyFields(APP, [])).includes("access-control-allow-credentials: true"));
});

for (const origin of [
  "https://evil.example.com",
  `${APP}.evil.com`,
  `${APP}:8443`,
  "http://app.example.com",
  "null",
  "",
])
  test(`an origin of ${JSON.stringify(origin)} is told nothing`, () => {
    const cors = new Cors({ origins: [APP], credentials: true });
    assert.deepEqual(cors.preflightFields(asks({ ...ASKED, origin })), ["vary", "origin"]);
    assert.deepEqual(cors.replyFields(origin, ["a", "1"]), ["a", "1", "vary", "origin"]);
  });

test("what a preflight asks for comes back only where it is the name of a field", () => {
  const cors = new Cors({ origins: ["*"], credentials: false });
  const fields = cors.preflightFields(
    asks({ ...ASKED, "access-control-request-headers": "x-grpc-web, a b,c;d" }),
  );
  assert.equal(fields[fields.indexOf("access-control-allow-headers") + 1], "x-grpc-web");
});

test("a reply exposes the status and its own metadata, and has no other say in it", () => {
  const cors = new Cors({ origins: ["*"], credentials: false });
  const reply = fields("content-type: a/b", "access-control-allow-origin: https://x", "a-bin: AA");
  assert.deepEqual(lines(cors.replyFields(APP, reply)), [
    "content-type: a/b",
    "a-bin: AA",
    "access-control-expose-headers: grpc-status,grpc-message,grpc-status-details-bin,a-bin",
    "access-control-allow-origin: *",
  ]);
});

for (const text of [
  "https://app.example.com",
  "http://localhost:3000",
  "http://[::1]:8080",
  "capacitor://localhost",
  "*",
  `${APP}, http://a.b`,
])
  test(`CORS_ORIGINS may be ${text}`, () =>
    assert.deepEqual(readConfig({ CORS_ORIGINS: text }).corsOrigins, text.split(", ")));

for (const text of ["https://App.example.com", `${APP}:443`])
  test(`CORS_ORIGINS counts ${text} as browsers write it`, () =>
    assert.deepEqual(readConfig({ CORS_ORIGINS: text }).corsOrigins, [APP]));

const mistakes: [why: string, env: Record<string, string>, says: RegExp][] = [
  ["a path", { CORS_ORIGINS: `${APP}/` }, /^CORS_ORIGINS must be an origin such as/],
  ["no scheme", { CORS_ORIGINS: "app.example.com" }, /^CORS_ORIGINS must be/],
  ["a pattern", { CORS_ORIGINS: "https://*.example.com" }, /^CORS_ORIGINS must be/],
  ["null, which is every sandboxed page", { CORS_ORIGINS: "null" }, /^CORS_ORIGINS must be/],
  ["credentials for any origin", { CORS_ORIGINS: "*", CORS_CREDENTIALS: "on" }, /^CORS_CREDENTIALS needs/],
  ["credentials for nobody", { CORS_CREDENTIALS: "on" }, /^CORS_CREDENTIALS is set without/],
];
for (const [why, env, says] of mistakes)
  test(`${why} is refused`, () =>
    assert.throws(
      () => readConfig(env),
      (thrown) => thrown instanceof ConfigError && thrown.mistakes.length === 1 && says.test(thrown.message),
    ));
