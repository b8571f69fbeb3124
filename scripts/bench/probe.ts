import { once } from "node:events";
import { Agent, request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect } from "node:http2";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Call, HttpCall } from "./calls.ts";
import { GRPC_HEADERS, webSocketUrl } from "./calls.ts";
import type { Player } from "./generators/player.ts";
import { playerOverHttp1 } from "./generators/player.ts";
import { mayConnect, playerOverHttp2 } from "./generators/player-h2.ts";

export type Headers = Readonly<Record<string, string>>;

const MESSAGE = Buffer.from("ping");

/** Milliseconds that one attempt may take. */
const ATTEMPT_MS = 2000;

/** Milliseconds in which a contender has to give its first good answer. */
const START_MS = 20_000;

/** Milliseconds between two attempts: nothing tells when a foreign program has opened its port. */
const PAUSE_MS = 2;

/** Tries until the answer is good. Rejects with what was wrong with the last one when the time is over. */
export async function untilGood(
  call: Call,
  port: number,
  headers: Headers,
  signal: AbortSignal,
): Promise<void> {
  for (const end = performance.now() + START_MS; ; await sleep(PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      return await probe(call, port, headers);
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
  }
}

/** One call on a connection of its own. Rejects unless the answer is the right one. */
export async function probe(call: Call, port: number, headers: Headers): Promise<void> {
  if (call.protocol === "h1") return probeHttp1(call, port, headers);
  if (call.protocol === "ws") {
    return probeEcho(await playerOverHttp1(webSocketUrl(port), headers, AbortSignal.timeout(ATTEMPT_MS)));
  }
  return onSession(port, async (session) => {
    if (call.protocol === "ws-h2") {
      await mayConnect(session);
      return probeEcho(await playerOverHttp2(session, headers));
    }
    const all = call.protocol === "grpc" ? { ...GRPC_HEADERS, ...headers } : headers;
    const head = { ":method": call.body === undefined ? "GET" : "POST", ":path": call.path, ...all };
    await converse(session.request(head, { endStream: call.body === undefined }), call);
  });
}

async function probeHttp1(
  { path, body, replyBytes }: HttpCall,
  port: number,
  headers: Headers,
): Promise<void> {
  const asked = request(`http://127.0.0.1:${port}${path}`, {
    agent: new Agent({ keepAlive: false }),
    method: body === undefined ? "GET" : "POST",
    headers,
    signal: AbortSignal.timeout(ATTEMPT_MS),
  });
  // What comes after the reply's head is the reply's to tell.
  asked.on("error", () => {});
  asked.end(body);
  const [reply] = (await once(asked, "response")) as [IncomingMessage];
  const { length } = await buffer(reply);
  check(reply.statusCode === 200 && length === replyBytes, `status ${reply.statusCode}, ${length} bytes`);
}

async function onSession(port: number, act: (session: ClientHttp2Session) => Promise<void>): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`);
  const failed = once(session, "error").then(([error]) => {
    throw error;
  });
  const late = sleep(ATTEMPT_MS, undefined, { ref: false }).then(() => {
    throw new Error("no answer in time");
  });
  try {
    await Promise.race([failed, late, act(session)]);
  } finally {
    session.destroy();
  }
}

async function converse(stream: ClientHttp2Stream, { protocol, body, replyBytes }: HttpCall): Promise<void> {
  let status: unknown;
  let grpcStatus: unknown;
  stream.once("response", (headers) => {
    status = headers[":status"];
    grpcStatus = headers["grpc-status"];
  });
  stream.once("trailers", (trailers) => (grpcStatus = trailers["grpc-status"]));
  if (body !== undefined) stream.end(body);
  const { length } = await buffer(stream);
  check(status === 200, `status ${status}`);
  if (protocol === "grpc") check(grpcStatus === "0", `grpc-status ${grpcStatus}`);
  check(length === replyBytes, `${length} bytes instead of ${replyBytes}`);
}

async function probeEcho(player: Player): Promise<void> {
  try {
    const echo = await new Promise<Buffer>((resolve, reject) => {
      player.listen(resolve, reject);
      player.send(MESSAGE);
      setTimeout(() => reject(new Error("no echo in time")), ATTEMPT_MS).unref();
    });
    check(MESSAGE.equals(echo), "the echo is not what was sent");
  } finally {
    player.leave();
  }
}

function check(good: boolean, otherwise: string): void {
  if (!good) throw new Error(otherwise);
}
