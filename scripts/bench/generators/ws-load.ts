import { connect } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { webSocketUrl } from "../calls.ts";
import { ascending, percentile } from "../statistics.ts";
import { complainInOneLine } from "./complain.ts";
import { mayConnect, playerOverHttp2 } from "./player-h2.ts";
import type { Player } from "./player.ts";
import { playerOverHttp1 } from "./player.ts";

/** What the only argument holds, as JSON. */
export interface WsOrder {
  readonly protocol: "ws" | "ws-h2";
  readonly port: number;
  readonly connections: number;
  /** WebSockets on each connection; over HTTP/1.1 there is one. */
  readonly streams: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
}

const MESSAGE_BYTES = 64;

complainInOneLine();
const order = JSON.parse(process.argv[2] ?? "{}") as WsOrder;
const sessions: ClientHttp2Session[] = [];
const players = (await Promise.all(Array.from({ length: order.connections }, () => open(order)))).flat();
const times: number[] = [];
const end = performance.now() + order.seconds * 1000;
await Promise.all(players.map((player) => pingPong(player, end, times)));
for (const player of players) player.leave();
for (const session of sessions) session.destroy();
const sorted = ascending(times);
process.stdout.write(
  JSON.stringify({
    requests: sorted.length,
    perSecond: sorted.length / order.seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
  }),
);

/** The WebSockets of one connection. */
async function open({ protocol, port, streams, headers }: WsOrder): Promise<Player[]> {
  if (protocol === "ws") return [await playerOverHttp1(webSocketUrl(port), headers)];
  const session = connect(`http://127.0.0.1:${port}`);
  sessions.push(session);
  await mayConnect(session);
  return Promise.all(Array.from({ length: streams }, () => playerOverHttp2(session, headers)));
}

/** Sends a message whenever the last one's echo is there. Resolves with the first echo after `end`, which does not count. */
function pingPong(player: Player, end: number, times: number[]): Promise<void> {
  const ball = Buffer.alloc(MESSAGE_BYTES, "oneport ");
  let number = 0;
  let sentAt = 0;
  const serve = (): void => {
    // Each message is another, so that a late echo is not taken for the one awaited.
    ball.writeUInt32BE(++number);
    sentAt = performance.now();
    player.send(ball);
  };
  return new Promise((resolve, reject) => {
    player.listen((echo) => {
      const now = performance.now();
      if (!ball.equals(echo)) return reject(new Error("the echo is not what was sent"));
      if (now >= end) return resolve();
      times.push(now - sentAt);
      serve();
    }, reject);
    serve();
  });
}
