import type { Contender } from "./contender.ts";
import { caddy } from "./contenders/caddy.ts";
import { haproxy } from "./contenders/haproxy.ts";
import { nghttpx } from "./contenders/nghttpx.ts";
import { nginx } from "./contenders/nginx.ts";
import { oneport, oneportAuth, oneportDirect, oneportToken } from "./contenders/oneport.ts";

/** No proxy at all: what the workers and the load generator can do. The HTTP worker has no HTTP/2. */
const direct: Contender = {
  name: "direct",
  doc: "the load generator straight at the worker",
  peer: undefined,
  guarded: false,
  sendsToken: false,
  prepare: ({ backends }) =>
    Promise.resolve({
      program: undefined,
      ports: { grpc: backends.grpc, h1: backends.http, ws: backends.ws },
      headers: {},
    }),
};

export const CONTENDERS: readonly Contender[] = [
  direct,
  oneport,
  oneportDirect,
  oneportToken,
  oneportAuth,
  nginx,
  haproxy,
  nghttpx,
  caddy,
];
