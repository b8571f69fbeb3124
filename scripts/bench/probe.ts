import { once } from "node:events";
import { Agent, request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { ClientHttp2Stream } from "node:http2";
import { connect } from "node:http2";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Protocol } from "./rows.ts";

export type Headers = Readonly<Record<string, string>>;

/** `Echo.Ping` with `{ message: "ping" }`, as a gRPC message: no compression, length, protobuf. */
export const GRPC_PING = Buffer.from("00000000060a0470696e67", "hex");

/** Bytes of the reply's body: `{"message":"pong"}`, and as a gRPC message. */
export const REPLY_BYTES = { http: 18, grpc: 11 } as const;

/** Milliseconds that one attempt may take. */
const ATTEMPT_MS = 2000;

/** Milliseconds in which a contender has to give its first good answer. */
const START_MS = 20_000;

/** Milliseconds between two attempts: nothing tells when a foreign program has opened its port. */
const PAUSE_MS = 2;

/** Tries until the answer is good. Rejects with what was wrong with the last one when the time is over. */
export async function untilGood(
  protocol: Protocol,
  port: number,
  headers: Headers,
  signal: AbortSignal,
): Promise<void> {
  for (const end = performance.now() + START_MS; ; await sleep(PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      return await probe(protocol, port, headers);
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
  }
}

/** One request on a connection of its own. Rejects unless the answer is the right one. */
export async function probe(protocol: Protocol, port: number, headers: Headers): Promise<void> {
  const at = `127.0.0.1:${port}`;
  if (protocol === "h1") return probeHttp1(at, headers);
  if (protocol === "ws") return probeWebSocket(at, headers);
  return protocol === "h2c"
    ? probeHttp2(at, { ":path": "/ping", ...headers })
    : probeHttp2(at, { ...GRPC_HEADERS, ...headers }, GRPC_PING);
}

const GRPC_HEADERS = {
  ":method": "POST",
  ":path": "/Echo/Ping",
  "content-type": "application/grpc",
  te: "trailers",
};

async function probeHttp1(at: string, headers: Headers): Promise<void> {
  const agent = new Agent({ keepAlive: false });
  const signal = AbortSignal.timeout(ATTEMPT_MS);
  const asked = request(`http://${at}/ping`, { agent, headers, signal });
  // What comes after the reply's head is the reply's to tell.
  asked.on("error", () => {});
  asked.end();
  const [reply] = (await once(asked, "response")) as [IncomingMessage];
  const body = await text(reply);
  check(reply.statusCode === 200 && body.length === REPLY_BYTES.http, `status ${reply.statusCode}`);
}

async function probeHttp2(at: string, headers: Headers, body?: Buffer): Promise<void> {
  const session = connect(`http://${at}`);
  const failed = once(session, "error").then(([error]) => {
    throw error;
  });
  try {
    await Promise.race([failed, converse(session.request(headers, { endStream: body === undefined }), body)]);
  } finally {
    session.destroy();
  }
}

async function converse(stream: ClientHttp2Stream, body: Buffer | undefined): Promise<void> {
  let status: unknown;
  let grpcStatus: unknown;
  stream.once("response", (headers) => {
    status = headers[":status"];
    grpcStatus = headers["grpc-status"];
  });
  stream.once("trailers", (trailers) => (grpcStatus = trailers["grpc-status"]));
  stream.setTimeout(ATTEMPT_MS, () => stream.destroy(new Error("no answer in time")));
  if (body !== undefined) stream.end(body);
  const reply = await text(stream);
  check(status === 200, `status ${status}`);
  if (body !== undefined) check(grpcStatus === "0", `grpc-status ${grpcStatus}`);
  check(
    reply.length === (body === undefined ? REPLY_BYTES.http : REPLY_BYTES.grpc),
    "the body is not what was expected",
  );
}

async function probeWebSocket(at: string, headers: Headers): Promise<void> {
  const socket = new WebSocket(`ws://${at}/ws`, {
    headers,
    perMessageDeflate: false,
    handshakeTimeout: ATTEMPT_MS,
  });
  try {
    const signal = AbortSignal.timeout(ATTEMPT_MS);
    await once(socket, "open", { signal });
    socket.send(GRPC_PING);
    const [echo] = (await once(socket, "message", { signal })) as [Buffer];
    check(GRPC_PING.equals(echo), "the echo is not what was sent");
  } finally {
    // Ending a handshake under way is an 'error' event too.
    socket.on("error", () => {});
    socket.terminate();
  }
}

function check(good: boolean, otherwise: string): void {
  if (!good) throw new Error(otherwise);
}
