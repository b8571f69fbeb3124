// Attacks from a process of its own: `node flooder.ts PORT`. Each of its connections floods, and is opened anew as soon as it has been
// ended. At the end of stdin it says how many connections were ended by each attack.
import { connect } from "node:net";
import { FLOODS } from "./floods.ts";
import { PREFACE, frame } from "./frames.ts";

const port = Number(process.argv[2]);
/** Connections at a time. */
const AT_ONCE = 4;

const attacks = FLOODS.map(([why, , frames]) => ({
  why,
  bytes: Buffer.concat([PREFACE, frame("SETTINGS", 0, 0), frames()]),
  ended: 0,
}));
let next = 0;
const over = new AbortController();

async function flood(): Promise<void> {
  while (!over.signal.aborted) {
    const attack = attacks[next++ % attacks.length];
    if (attack === undefined) return;
    const socket = connect(port, "127.0.0.1").resume();
    socket.on("error", () => {});
    socket.write(attack.bytes);
    await new Promise((resolve) => socket.once("close", resolve));
    attack.ended++;
  }
}

process.stdin.on("end", () => over.abort()).resume();
await Promise.all(Array.from({ length: AT_ONCE }, flood));
const counts = Object.fromEntries(attacks.map(({ why, ended }) => [why, ended]));
process.stdout.write(`${JSON.stringify(counts)}\n`);
