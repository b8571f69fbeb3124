// Many connections from a process of its own: `node crowd.ts PORT COUNT ADDRESS`. Asks once on each, says how many were answered, asks
// again for each line on stdin, and ends with it.
import type { Socket } from "node:net";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const [port = 0, count = 0] = process.argv.slice(2, 4).map(Number);
const localAddress = process.argv[4] ?? "127.0.0.1";
/** Connections that are opened at a time: fewer than wait in a listen queue. */
const AT_ONCE = 100;
const REQUEST = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";

const sockets: Socket[] = [];
let lost = 0;

/** Resolves with whether the reply was good. */
function ask(socket: Socket): Promise<boolean> {
  if (socket.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    let text = "";
    const done = (good: boolean): void => {
      socket.off("data", onData);
      socket.off("close", onClose);
      resolve(good);
    };
    const onClose = (): void => done(false);
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (text.endsWith('{"message":"pong"}')) done(text.startsWith("HTTP/1.1 200 "));
    };
    socket.on("data", onData);
    socket.on("close", onClose);
    socket.write(REQUEST);
  });
}

async function each(all: readonly number[], act: (index: number) => Promise<boolean>): Promise<void> {
  let next = 0;
  let good = 0;
  const some = async (): Promise<void> => {
    for (let at = next++; at < all.length; at = next++) if (await act(all[at] ?? 0)) good++;
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  process.stdout.write(`${JSON.stringify({ good, open: sockets.length - lost })}\n`);
}

const indexes = Array.from({ length: count }, (_, index) => index);
await each(indexes, (index) => {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  socket.once("close", () => lost++);
  sockets[index] = socket;
  return ask(socket);
});
for await (const _ of createInterface(process.stdin))
  await each(indexes, async (index) => {
    const socket = sockets[index];
    return socket !== undefined && ask(socket);
  });
process.exit(0);
