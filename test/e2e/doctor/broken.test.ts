// What the doctor says of single protocols that are broken in ways that no proxy here can be made to break them.
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { describe, test } from "node:test";
import type { Finding } from "../../../scripts/doctor/finding.ts";
import { grpcFindings } from "../../../scripts/doctor/grpc.ts";
import { held } from "../../../scripts/doctor/hold.ts";
import { overUpgrade } from "../../../scripts/doctor/websocket.ts";
import { Diagnosis, site } from "../../support/doctor.ts";
import { message } from "../../support/grpc.ts";
import { rawTunnel, wsWorker } from "../../support/websockets.ts";
import { http2Worker, httpWorker } from "../../support/workers.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };
const UNKNOWN = {
  mode: "unknown",
  http1: undefined,
  http2: undefined,
  webSocket: undefined,
  arrival: {},
} as const;

const portOf = (url: string): number => Number(new URL(url.replace("h2c:", "http:")).port);

/** Reads the request, then does this. */
function once(stream: ServerHttp2Stream, answer: () => void): void {
  stream.resume().once("end", answer);
}

function withStatus(stream: ServerHttp2Stream, bytes: Buffer, status: string): void {
  stream.respond(GRPC, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
  stream.end(bytes);
}

const refused = { "grpc-status": "16", "grpc-message": "the request carries no ID token" };

const broken: [
  why: string,
  row: string,
  onStream: (stream: ServerHttp2Stream) => void,
  saw: RegExp,
  change: RegExp,
][] = [
  [
    "trailers that get lost",
    "gRPC unary",
    (stream) =>
      once(stream, () => {
        stream.respond(GRPC);
        stream.end(message());
      }),
    /ended without trailers/,
    /^Deploy with --use-http2.*trailers, and they got lost/,
  ],
  [
    "a reply that is cut",
    "gRPC unary",
    (stream) =>
      once(stream, () => {
        // Without this, or before a write, Node ends the stream cleanly first.
        stream.respond(GRPC, { waitForTrailers: true });
        stream.write(message(), () => stream.close(constants.NGHTTP2_CANCEL));
      }),
    /cut by a reset \(code 8\)/,
    /time limits/,
  ],
  [
    "a call that is reset",
    "gRPC client streaming",
    (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
    /reset without a reply \(code 2\)/,
    /^Deploy with --use-http2/,
  ],
  [
    "an Authorization that is dropped for gRPC alone",
    "gRPC unary",
    (stream) => stream.respond({ ...GRPC, ...refused }, { endStream: true }),
    /status 16: the request carries no ID token/,
    /^Let Authorization through for gRPC as well/,
  ],
  [
    "replies that come all at once",
    "gRPC server streaming",
    (stream) => once(stream, () => withStatus(stream, Buffer.concat([message(), message()]), "0")),
    /all replies came at once/,
    /^Switch buffering of replies off/,
  ],
  [
    "a reply too few",
    "gRPC server streaming",
    (stream) => once(stream, () => withStatus(stream, message(), "0")),
    /1 of 2 replies came/,
    /ended early/,
  ],
  [
    "a status of the worker's own",
    "gRPC unary",
    (stream) => once(stream, () => withStatus(stream, message(), "13")),
    /status 13/,
    /^Look at the gRPC worker's log/,
  ],
];

describe("the doctor", { concurrency: true }, () => {
  for (const [why, row, onStream, saw, change] of broken) {
    test(`gRPC: ${why}`, async (t) => {
      const port = portOf(await http2Worker(t, onStream));
      const findings = await grpcFindings(site(port, { patienceMs: 10 }), "unknown");
      new Diagnosis(findings).failed(row, saw, change);
    });
  }

  test("a WebSocket that opens, and through which nothing comes", async (t) => {
    const port = portOf(await rawTunnel(t, () => {}));
    const found = await overUpgrade(site(port, { timeoutMs: 1000 }), UNKNOWN);
    new Diagnosis([found]).failed(
      "WebSocket by upgrade",
      /101, but a Ping got no answer/,
      /passes frames on/,
    );
  });

  test("a WebSocket that is refused with Envoy's remote reset, whatever the mode", async (t) => {
    const body = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    const port = portOf(await httpWorker(t, (_req, res) => void res.writeHead(503).end(body)));
    const found = await overUpgrade(site(port), UNKNOWN);
    new Diagnosis([found]).failed("WebSocket by upgrade", /^503/, /^Set WEBSOCKET_OVER_HTTP2=on/);
  });

  const closed: [code: number, verdict: Finding["verdict"]][] = [
    [1001, "ok"],
    [1012, "ok"],
    [1008, "failed"],
  ];
  for (const [code, verdict] of closed) {
    test(`--hold: a WebSocket closed with ${code} is ${verdict}`, async (t) => {
      const { url, server } = await wsWorker(t);
      server.on("connection", (socket) => socket.close(code, "time to go"));
      const [socket] = await held(site(portOf(url), { timeoutMs: 2000 }), 5, "unknown");
      assert.equal(socket?.verdict, verdict);
      assert.match(socket.saw, new RegExp(`^closed with ${code} time to go, after \\d\\.\\d s`));
    });
  }
});
