import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { h2, http2Client } from "./clients.ts";
import type { TestEdge } from "./edge.ts";
import { testEdge } from "./edge.ts";
import { freePort } from "./family.ts";
import { webSocketWorker } from "./websocket-worker.ts";
import { http2Worker, httpWorker } from "./workers.ts";

export type Put = (
  protocol: string,
  body: string,
  more?: { query?: string; host?: string },
) => Promise<[status: number, answer: unknown]>;

/** PUT on the admin port, with a Host of the caller's choice, which fetch does not allow. */
function putter(admin: number): Put {
  return (protocol, body, { query = "", host = `localhost:${admin}` } = {}) =>
    new Promise((resolve, reject) => {
      const path = `/upstreams/${protocol}${query}`;
      const req = request({ port: admin, method: "PUT", path, headers: { host } }, async (res) => {
        const text = Buffer.concat(await res.toArray()).toString();
        resolve([res.statusCode ?? 0, JSON.parse(text)]);
      });
      req.on("error", reject);
      req.end(body);
    });
}

export async function swappable(
  t: TestContext,
  env: Record<string, string>,
): Promise<TestEdge & { put: Put; admin: number }> {
  const admin = await freePort();
  const edge = await testEdge(t, { ADMIN_PORT: String(admin), ...env });
  return { ...edge, put: putter(admin), admin };
}

/** An HTTP worker that says its name. */
export function named(t: TestContext, name: string): Promise<string> {
  return httpWorker(t, (_req, res) => void res.end(name));
}

/** The next message of a WebSocket. */
export async function message(socket: WebSocket): Promise<string> {
  const [bytes] = (await once(socket, "message")) as [Buffer];
  return bytes.toString();
}

export async function text(url: string): Promise<string> {
  return (await fetch(url)).text();
}

/** How many of each under load at a time. */
const AT_ONCE = 8;

const PROTOCOLS = ["http", "grpc", "ws"] as const;
const PING = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc" };

/** Two workers of each protocol, which take turns. */
export type Pairs = Readonly<Record<(typeof PROTOCOLS)[number], readonly [string, string]>>;

/**
 * Sends `requests` of each kind through an edge, HTTP/1.1 and HTTP/2, gRPC and WebSocket handshakes, while each protocol's worker is
 * exchanged `swaps` times, evenly. Every one must get its whole, good reply. The workers say "ok", by HTTP and first of all by WebSocket.
 */
export async function swapUnderLoad(
  t: TestContext,
  requests: number,
  swaps: number,
  given?: Pairs,
): Promise<void> {
  const workers = given ?? {
    http: [await named(t, "ok"), await named(t, "ok")],
    grpc: [await http2Worker(t, answerPing), await http2Worker(t, answerPing)],
    ws: [await webSocketWorker(t, "ok"), await webSocketWorker(t, "ok")],
  };
  const { url, port, put } = await swappable(t, {
    HTTP_UPSTREAMS: workers.http[0],
    GRPC_UPSTREAMS: workers.grpc[0],
    WS_UPSTREAMS: workers.ws[0],
  });
  const session = http2Client(t, port);
  const kinds: readonly (() => Promise<void>)[] = [
    async () => assert.equal(await text(url), "ok"),
    async () => assert.equal((await h2(session, { ":path": "/" })).body.toString(), "ok"),
    async () => {
      const { headers, code } = await h2(session, PING, "");
      assert.deepEqual([headers["grpc-status"], code], ["0", 0]);
    },
    () => converse(port),
  ];
  const share = requests / swaps;
  for (let round = 1; round <= swaps; round++) {
    const load = Promise.all(kinds.map((one) => many(share, one)));
    for (const protocol of PROTOCOLS) {
      const [first, second] = workers[protocol];
      assert.equal((await put(protocol, round % 2 === 0 ? first : second))[0], 200);
    }
    await load;
  }
}

/** Some at a time, until there were `count`. */
async function many(count: number, one: () => Promise<void>): Promise<void> {
  let left = count;
  const some = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
}

/** A WebSocket from its handshake to its close. */
async function converse(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  assert.equal(await message(socket), "ok");
  const closed = once(socket, "close");
  socket.close(1000);
  assert.equal((await closed)[0], 1000);
}

/** What a gRPC worker does to answer at once, with trailers alone. */
export function answerPing(stream: ServerHttp2Stream): void {
  stream.resume();
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
}
