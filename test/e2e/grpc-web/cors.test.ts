import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { before, test } from "node:test";
import type { Issuer } from "../../../scripts/token/issuer.ts";
import { EMAIL, OPTIONS, newIssuer, settings } from "../../support/auth.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { message } from "../../support/grpc.ts";
import { BINARY, webCall } from "../../support/grpc-web.ts";
import { suiteScope } from "../../support/suite.ts";
import { http2Worker, httpWorker } from "../../support/workers.ts";

const APP = "https://app.example.com";
const PREFLIGHT = {
  method: "OPTIONS",
  headers: {
    origin: APP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-grpc-web",
  },
};

let issuer: Issuer;
let http: string;
let grpc: string;
/** Who called, as the gRPC worker was told. */
let callers: unknown[] = [];
/** It wants tokens, and lets pages of APP call. */
let edge: TestEdge;
const suite = suiteScope();
before(async () => {
  issuer = await newIssuer(suite);
  http = await httpWorker(suite, (req, res) => res.writeHead(200, { "x-worker": `${req.method}` }).end());
  grpc = await http2Worker(suite, (stream, headers) => {
    callers.push(headers["x-auth-email"]);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0", "x-own": "1" },
      { endStream: true },
    );
  });
  edge = await testEdge(suite, settings(http, issuer, { GRPC_UPSTREAMS: grpc, CORS_ORIGINS: APP }));
});

/** What a browser looks at. */
function cors(headers: IncomingHttpHeaders): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith("access-control-") || name === "vary"),
  );
}

for (const version of ["1.1", "2"] as const) {
  const over = `over HTTP/${version}`;
  const preflight = (port: number, origin = APP): ReturnType<typeof webCall> =>
    webCall(suite, port, version, "", { ...PREFLIGHT, headers: { ...PREFLIGHT.headers, origin } });

  test(`a preflight is answered ${over} without a token`, async () => {
    const { status, headers, body } = await preflight(edge.port);
    assert.deepEqual([status, body.length, headers["x-worker"]], [204, 0, undefined]);
    assert.deepEqual(cors(headers), {
      vary: "origin",
      "access-control-allow-origin": APP,
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": "authorization,content-type,x-grpc-web",
      "access-control-max-age": "7200",
    });
    await edge.logged((line) => line["route"] === "preflight" && line["outcome"] === "ok");
  });

  test(`a preflight from elsewhere is allowed nothing ${over}`, async () => {
    const { status, headers } = await preflight(edge.port, "https://evil.example.com");
    assert.deepEqual([status, cors(headers)], [204, { vary: "origin" }]);
  });

  test(`a call without a token ${over} is refused in words that the page may read`, async () => {
    const { status, headers } = await webCall(suite, edge.port, version, message(), {
      headers: { ...BINARY, origin: APP },
    });
    assert.deepEqual([status, headers["grpc-status"]], [200, "16"]);
    assert.deepEqual(cors(headers), {
      vary: "origin",
      "access-control-allow-origin": APP,
      "access-control-expose-headers": "grpc-status,grpc-message,grpc-status-details-bin",
    });
  });

  test(`a call with a token ${over} gets to the worker, and its metadata may be read`, async () => {
    callers = [];
    const { headers } = await webCall(suite, edge.port, version, message(), {
      headers: { ...BINARY, origin: APP, authorization: `Bearer ${issuer.mint(OPTIONS)}` },
    });
    assert.deepEqual([headers["grpc-status"], callers], ["0", [EMAIL]]);
    const exposed = String(headers["access-control-expose-headers"]).split(",");
    for (const name of ["grpc-status", "grpc-message", "x-own"]) assert.ok(exposed.includes(name), name);
  });

  for (const origin of [undefined, "https://evil.example.com"])
    test(`a call from ${origin ?? "nowhere"} ${over} is answered, and no page may read it`, async () => {
      const { headers } = await webCall(suite, edge.port, version, message(), {
        headers: { ...BINARY, ...(origin !== undefined && { origin }) },
      });
      assert.deepEqual([headers["grpc-status"], cors(headers)], ["16", { vary: "origin" }]);
    });

  test(`another preflight is the HTTP worker's ${over}, and wants a token as before`, async (t) => {
    const asking = {
      ...PREFLIGHT,
      headers: { ...PREFLIGHT.headers, "access-control-request-headers": "content-type" },
    };
    assert.equal((await webCall(t, edge.port, version, "", asking)).status, 401);
    const open = await testEdge(t, { HTTP_UPSTREAMS: http, GRPC_UPSTREAMS: grpc, CORS_ORIGINS: APP });
    const reply = await webCall(t, open.port, version, "", asking);
    assert.deepEqual([reply.status, reply.headers["x-worker"]], [200, "OPTIONS"]);
  });

  test(`without CORS_ORIGINS ${over} the edge has no say: preflights are the HTTP worker's`, async (t) => {
    const open = await testEdge(t, { HTTP_UPSTREAMS: http, GRPC_UPSTREAMS: grpc });
    const asked = await preflight(open.port);
    assert.deepEqual([asked.status, asked.headers["x-worker"], cors(asked.headers)], [200, "OPTIONS", {}]);
    const called = await webCall(t, open.port, version, message(), { headers: { ...BINARY, origin: APP } });
    assert.deepEqual([called.headers["grpc-status"], cors(called.headers)], ["0", {}]);
    await open.logged((line) => line["route"] === "http" && line["outcome"] === "ok");
  });
}
