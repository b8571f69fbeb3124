// What the doctor says of callers who are refused, and of an edge without a proxy in front.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { readUpstreams } from "../../../edge/settings/config.ts";
import { held } from "../../../scripts/doctor/hold.ts";
import { Issuer } from "../../../scripts/token/issuer.ts";
import { signJwt } from "../../../scripts/token/jwt.ts";
import { AUDIENCE, OPTIONS, minted, settings } from "../../support/auth.ts";
import { doctor, site, workersHere } from "../../support/doctor.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { freePort } from "../../support/family.ts";
import { message } from "../../support/grpc.ts";
import { NEEDS_FRONTS, startNginx } from "../../support/fronts.ts";
import { suiteScope } from "../../support/suite.ts";
import { webSocketWorker } from "../../support/websocket-worker.ts";
import { wsWorker } from "../../support/websockets.ts";
import { http2Worker, httpWorker } from "../../support/workers.ts";

const suite = suiteScope();
const issuer = new Issuer();
const stripping: number[] = [];
let worker: Record<string, string>;
let open: TestEdge;
let locked: TestEdge;
before(async () => {
  await issuer.listen();
  suite.after(() => issuer.close());
  worker = await workersHere(suite);
  open = await testEdge(suite, { ...worker, DOCTOR: "on" });
  const shut = settings("", issuer, { ...worker, DOCTOR: "on" });
  locked = await testEdge(suite, shut);
  if (NEEDS_FRONTS.skip !== false) return;
  const [signature, header] = [await freePort(), await freePort()];
  stripping.push(signature, header);
  const server = (port: number, authorization: string): string =>
    `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${locked.port}; proxy_http_version 1.1; proxy_set_header Authorization ${authorization}; } }\n`;
  await startNginx(
    suite,
    `map $http_authorization $stripped { default ""; "~^(?<kept>Bearer [^.]+\\.[^.]+)\\." "$kept.SIGNATURE_REMOVED_BY_GOOGLE"; }\n` +
      server(signature, "$stripped") +
      server(header, '""'),
    stripping,
  );
});

const now = (): number => Math.floor(Date.now() / 1000);

describe("the doctor", { concurrency: true }, () => {
  test("an edge with nothing in front, its door open: all is well", async () => {
    const diagnosis = await doctor(open.port);
    diagnosis.allIsWell();
    assert.match(diagnosis.of("mode").saw, /as it was sent/);
    assert.match(diagnosis.of("without a token").saw, /open to everybody/);
  });

  test("a token at an open door: nobody looks at it", async () => {
    const diagnosis = await doctor(open.port, { token: issuer.mint(OPTIONS) });
    diagnosis.failed("without a token", /let in/, /^Set AUTH_AUDIENCE and AUTH_SERVICE_ACCOUNTS/);
  });

  test("a shut door and a good token: all is well, on each protocol", async () => {
    const diagnosis = await doctor(locked.port, { token: issuer.mint(OPTIONS) });
    diagnosis.allIsWell();
    assert.equal(diagnosis.of("with the token").saw, "let in");
  });

  test("a shut door and no token: one thing to do, not ten failures", async () => {
    const diagnosis = await doctor(locked.port);
    diagnosis.only("failed", []);
    diagnosis.only("unknown", ["all else"]);
    assert.equal(diagnosis.of("without a token").verdict, "ok");
  });

  const refused: [why: string, token: () => string, saw: RegExp, change: RegExp][] = [
    [
      "another audience",
      () => minted(issuer, { aud: `${AUDIENCE}/` }),
      /another audience/,
      /^Make the token for the edge's AUTH_AUDIENCE, or .* "https:\/\/api\.example\.com\/", byte for byte/,
    ],
    [
      "an expired one",
      () => minted(issuer, { exp: now() - 100 }),
      /expired/,
      /^Make a new token: this one expired 10\d s ago/,
    ],
    [
      "one issued in the future",
      () => minted(issuer, { iat: now() + 120 }),
      /issued in the future/,
      /^Set the clock of whoever makes the token: it is 1[12]\d s ahead of the server's/,
    ],
    [
      "another caller",
      () => minted(issuer, { email: "other@example.com" }),
      /403 from the edge/,
      /^Add "other@example\.com" to AUTH_SERVICE_ACCOUNTS/,
    ],
    ["one without an email", () => minted(issuer, { email: undefined }), /names no email/, /--include-email/],
    [
      "one that an account signed itself",
      () => minted(issuer, { iss: "a@p.iam.gserviceaccount.com" }),
      /issuer is not accepted/,
      /^Exchange it for an ID token/,
    ],
    [
      "another issuer's",
      () => minted(issuer, { iss: "https://issuer.example" }),
      /issuer is not accepted/,
      /^Set AUTH_ISSUERS and AUTH_CERTS_URL/,
    ],
    [
      "one signed by somebody else",
      () => signJwt(new Issuer().key, issuer.claims(OPTIONS)),
      /signature is not valid/,
      /^Give the whole token/,
    ],
    [
      "one whose last character is missing",
      () => issuer.mint(OPTIONS).slice(0, -1),
      /the token is malformed/,
      /^Give the whole token/,
    ],
    [
      "one with an unknown key",
      () => minted(issuer, {}, { kid: "key-2" }),
      /key is unknown/,
      /^Check AUTH_CERTS_URL/,
    ],
    ["an access token", () => "ya29.abcdef", /malformed/, /^Give an ID token: what was given is no JWT/],
    [
      "one that has lost its signature already",
      () => minted(issuer, {}).replace(/[^.]+$/, "SIGNATURE_REMOVED_BY_GOOGLE"),
      /removed this token's signature/,
      /^Send Cloud Run's token in X-Serverless-Authorization/,
    ],
  ];
  for (const [why, token, saw, change] of refused) {
    test(`a token that is refused: ${why}`, async () => {
      const diagnosis = await doctor(locked.port, { token: token() });
      diagnosis.failed("with the token", saw, change);
      diagnosis.only("failed", ["with the token"]);
    });
  }

  test(
    "a front that removes the signature, as Cloud Run does: X-Serverless-Authorization",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(stripping[0] ?? 0, { token: issuer.mint(OPTIONS) });
      diagnosis.failed(
        "with the token",
        /removed this token's signature/,
        /^Send Cloud Run's token in X-Serverless/,
      );
    },
  );

  test("a front that removes Authorization", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(stripping[1] ?? 0, { token: issuer.mint(OPTIONS) });
    diagnosis.failed("with the token", /carries no ID token/, /^Let Authorization through/);
  });

  test("an edge that trusts IAP's header only", async (t) => {
    const iap = await testEdge(t, settings("", issuer, { ...worker, AUTH_MODE: "iap" }));
    const diagnosis = await doctor(iap.port, { token: issuer.mint(OPTIONS) });
    diagnosis.failed("with the token", /no x-goog-iap-jwt-assertion/, /^Call the URL that IAP protects/);
  });

  test("an edge that cannot fetch keys", async (t) => {
    const dead = `http://127.0.0.1:${await freePort()}/certs`;
    const edge = await testEdge(t, settings("", issuer, { ...worker, AUTH_CERTS_URL: dead }));
    const diagnosis = await doctor(edge.port, { token: issuer.mint(OPTIONS) });
    diagnosis.failed("with the token", /cannot be verified/, /^Let the edge reach the verification keys/);
  });

  test("a WebSocket that is closed with 1001, as LIMIT_TUNNEL_SECONDS does, is well", async (t) => {
    const { url, server } = await wsWorker(t);
    server.on("connection", (socket) => socket.close(1001, "time to go"));
    const edge = await testEdge(t, { ...worker, WS_UPSTREAMS: url });
    const [socket, call] = await held(site(edge.port), 1, "direct");
    assert.equal(socket?.verdict, "ok");
    assert.match(socket.saw, /^closed with 1001 time to go, after \d\.\d s: clients come again/);
    assert.equal(call?.saw, "open for all of 1 s");
  });

  test("workers of the user's own, without the examples' methods: all that can be known is", async (t) => {
    const edge = await testEdge(t, {
      DOCTOR: "on",
      HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.writeHead(404).end("no")),
      GRPC_UPSTREAMS: await http2Worker(t, (stream) => {
        const head = { "content-type": "application/grpc", "grpc-status": "12", "grpc-message": "what?" };
        stream.respond(head, { endStream: true });
      }),
      WS_UPSTREAMS: await webSocketWorker(t, "hello"),
    });
    const diagnosis = await doctor(edge.port, { wsPath: "/chat" });
    diagnosis.only("failed", []);
    const kinds = ["unary", "server streaming", "client streaming", "bidi streaming"];
    diagnosis.only("unknown", ["server-sent events", ...kinds.map((kind) => `gRPC ${kind}`)]);
    assert.match(diagnosis.of("gRPC bidi streaming").saw, /arrives as HTTP\/2/);
    assert.equal(diagnosis.of("HTTP/1.1").saw, "GET /ping: 404");
    assert.equal(diagnosis.of("WebSocket by CONNECT").verdict, "ok");
  });

  test("a WebSocket worker of the user's own that accepts any path, DOCTOR=off: nothing is waited for", async (t) => {
    const edge = await testEdge(t, { ...worker, WS_UPSTREAMS: await webSocketWorker(t, "hello") });
    const started = performance.now();
    const diagnosis = await doctor(edge.port, { timeoutMs: 30_000 });
    assert.equal(diagnosis.of("WebSocket arrives").verdict, "unknown");
    assert.ok(performance.now() - started < 15_000);
  });

  test("a gRPC worker of the user's own with reflection: whether calls are full-duplex is known", async (t) => {
    const asked: string[] = [];
    const grpc = await http2Worker(t, (stream, { ":path": path = "" }) => {
      const type = { "content-type": "application/grpc" };
      asked.push(path);
      if (!path.startsWith("/grpc.reflection.v1alpha."))
        return stream.respond({ ...type, "grpc-status": "12" }, { endStream: true });
      stream.respond(type, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.once("data", () => stream.write(message(3)));
      stream.on("end", () => stream.end());
    });
    const edge = await testEdge(t, { ...worker, GRPC_UPSTREAMS: grpc });
    const diagnosis = await doctor(edge.port);
    assert.match(diagnosis.of("gRPC bidi streaming").saw, /1 reply, full-duplex$/);
    assert.ok(asked.includes("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
  });

  test("workers that have died: which one, and where its address is set", async (t) => {
    const edge = await testEdge(t, { ...worker, DOCTOR: "on" });
    const gone = `127.0.0.1:${await freePort()}`;
    const nobody = {
      http: readUpstreams("http", `http://${gone}`),
      grpc: readUpstreams("grpc", `h2c://${gone}`),
      ws: readUpstreams("ws", `http://${gone}`),
    };
    await edge.edge.swap(nobody, false);
    const diagnosis = await doctor(edge.port);
    diagnosis.failed(
      "HTTP/1.1",
      /the worker cannot be reached/,
      /^Start the HTTP worker, and check HTTP_UPSTREAMS/,
    );
    diagnosis.failed("gRPC unary", /status 14/, /^Start the gRPC worker, and check GRPC_UPSTREAMS/);
    for (const how of ["upgrade", "CONNECT"])
      diagnosis.failed(
        `WebSocket by ${how}`,
        /503 from the edge/,
        /^Start the WebSocket worker, and check WS_UPSTREAMS/,
      );
  });
});
