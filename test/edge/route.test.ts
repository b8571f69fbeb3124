import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "../../edge/exchange.ts";
import type { Route } from "../../edge/exchange.ts";
import { route } from "../../edge/route.ts";
import { GET, fields } from "../support/heads.ts";

const typed = (type: string, version: RequestHead["version"] = "2"): RequestHead => ({
  ...GET,
  version,
  method: "POST",
  headers: ["content-type", type],
});

const cases: [why: string, head: RequestHead, want: Route][] = [
  ["a plain GET", GET, "http"],
  ["a plain HTTP/2 GET", { ...GET, version: "2" }, "http"],
  ["gRPC", typed("application/grpc"), "grpc"],
  ["gRPC with a message format", typed("application/grpc+proto"), "grpc"],
  ["gRPC with parameters", typed("application/grpc;charset=utf-8"), "grpc"],
  ["gRPC with white space before parameters", typed("application/grpc ; a=b"), "grpc"],
  ["gRPC in other letters", typed("Application/GRPC"), "grpc"],
  ["a gRPC look-alike", typed("application/grpcfoo"), "http"],
  ["a gRPC look-alike with a dash", typed("application/grpc-foo"), "http"],
  ["gRPC over HTTP/1.1, which there is not", typed("application/grpc", "1.1"), "http"],
  ["gRPC-Web", typed("application/grpc-web"), "grpc-web"],
  ["gRPC-Web with a format", typed("application/grpc-web+proto"), "grpc-web"],
  ["gRPC-Web text", typed("application/grpc-web-text"), "grpc-web"],
  ["gRPC-Web text with a format", typed("application/grpc-web-text+proto"), "grpc-web"],
  ["gRPC-Web over HTTP/1.1", typed("application/grpc-web+proto", "1.1"), "grpc-web"],
  ["a gRPC-Web look-alike", typed("application/grpc-webfoo"), "http"],
  [
    "a gRPC-Web client's preflight",
    {
      ...GET,
      method: "OPTIONS",
      headers: fields(
        "origin: https://a.example",
        "access-control-request-method: POST",
        "access-control-request-headers: content-type,x-grpc-web",
      ),
    },
    "preflight",
  ],
  [
    "another client's preflight",
    {
      ...GET,
      method: "OPTIONS",
      headers: fields("origin: https://a.example", "access-control-request-method: POST"),
    },
    "http",
  ],
  ["a Connect stream", typed("application/connect+proto", "1.1"), "http"],
  ["a Connect call", typed("application/proto"), "http"],
  ["JSON", typed("application/json"), "http"],
  ["an empty content-type", typed(""), "http"],
  ["an HTTP/1.1 upgrade", { ...GET, protocol: "websocket" }, "websocket"],
  ["an extended CONNECT", { ...GET, version: "2", method: "CONNECT", protocol: "websocket" }, "websocket"],
  [
    "an extended CONNECT with a gRPC type",
    { ...typed("application/grpc"), protocol: "websocket" },
    "websocket",
  ],
  ["an unknown :protocol", { ...GET, version: "2", method: "CONNECT", protocol: "connect-udp" }, "http"],
];

for (const [why, head, want] of cases)
  test(`routes ${why} to ${want}`, () => assert.equal(route(head), want));
