import { once } from "node:events";
import { connect } from "node:net";
import type { Program } from "./processes.ts";

/** For programs that do not say when they listen; a refused connection answers at once, so asking again is not a guess at their speed. */
export async function untilListening(port: number, program: Program): Promise<void> {
  while (program.running) {
    const socket = connect(port, "127.0.0.1");
    const open = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the program ended: ${program.err}`);
}
