import { once } from "node:events";
import { complainInOneLine } from "./complain.ts";
import type { Player } from "./player.ts";
import { playerOverHttp1 } from "./player.ts";

/** What the only argument holds, as JSON. */
export interface IdleOrder {
  readonly url: string;
  readonly sockets: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Handshakes under way at a time: no listener's backlog overflows. */
const LANES = 64;
/** Milliseconds that all echoes together may take. */
const ECHO_MS = 20_000;

const MESSAGE = Buffer.from("alive");

complainInOneLine();

/**
 * Opens so many WebSockets, says "open", and keeps them silent until SIGUSR2. Then each must still bring a message there
 * and back: a tunnel that was dropped meanwhile took no memory and must not count.
 */
const order = JSON.parse(process.argv[2] ?? "{}") as IdleOrder;
const players: Player[] = [];
await Promise.all(Array.from({ length: LANES }, (_, lane) => openLane(lane)));
const asked = once(process, "SIGUSR2");
// A listener for a signal does not keep the process, but the sockets do.
process.stdout.write("open\n");
await asked;
const signal = AbortSignal.timeout(ECHO_MS);
for (const player of players) await mustEcho(player);
process.exit(0);

async function openLane(lane: number): Promise<void> {
  for (let number = lane; number < order.sockets; number += LANES) {
    players.push(await playerOverHttp1(order.url, order.headers));
  }
}

function mustEcho(player: Player): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("no echo in time")), { once: true });
    player.listen((echo) => {
      if (MESSAGE.equals(echo)) resolve();
      else reject(new Error("the echo is not what was sent"));
    }, reject);
    player.send(MESSAGE);
  });
}
