import { once } from "node:events";
import { WebSocket } from "ws";
import { ascending, percentile } from "./statistics.ts";

/** What the only argument holds, as JSON. */
export interface WsOrder {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
}

const MESSAGE_BYTES = 64;

const order = JSON.parse(process.argv[2] ?? "{}") as WsOrder;
const sockets = await Promise.all(Array.from({ length: order.connections }, () => open(order)));
const times: number[] = [];
const end = performance.now() + order.seconds * 1000;
await Promise.all(sockets.map((socket) => pingPong(socket, end, times)));
for (const socket of sockets) socket.terminate();
const sorted = ascending(times);
process.stdout.write(
  JSON.stringify({
    requests: sorted.length,
    perSecond: sorted.length / order.seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
  }),
);

async function open({ url, headers }: WsOrder): Promise<WebSocket> {
  const socket = new WebSocket(url, { headers, perMessageDeflate: false });
  await once(socket, "open");
  return socket;
}

/** Sends a message whenever the last one's echo is there. Resolves with the first echo after `end`, which does not count. */
function pingPong(socket: WebSocket, end: number, times: number[]): Promise<void> {
  const ball = Buffer.alloc(MESSAGE_BYTES, "oneport ");
  let number = 0;
  let sentAt = 0;
  const serve = (): void => {
    // Each message is another, so that a late echo is not taken for the one awaited.
    ball.writeUInt32BE(++number);
    sentAt = performance.now();
    socket.send(ball);
  };
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", (code) => reject(new Error(`closed with ${code}`)));
    socket.on("message", (echo: Buffer) => {
      const now = performance.now();
      if (!ball.equals(echo)) return reject(new Error("the echo is not what was sent"));
      if (now >= end) return resolve();
      times.push(now - sentAt);
      serve();
    });
    serve();
  });
}
