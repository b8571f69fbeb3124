import { once } from "node:events";
import { WebSocket } from "ws";

/** One WebSocket of a load generator, whatever carries it. */
export interface Player {
  send(message: Buffer): void;
  /** Called once: who hears of each whole message, and of the end. */
  listen(message: (bytes: Buffer) => void, broken: (error: Error) => void): void;
  /** Ends it at once, without goodbye. */
  leave(): void;
}

/** Opens a WebSocket by HTTP/1.1 upgrade. Rejects unless it is open before the signal. */
export async function playerOverHttp1(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Player> {
  const socket = new WebSocket(url, { headers, perMessageDeflate: false });
  const opened = once(socket, "open", { signal });
  try {
    await opened;
  } catch (thrown) {
    // Ending a handshake under way is an 'error' event too.
    socket.on("error", () => {});
    socket.terminate();
    throw thrown;
  }
  return {
    send: (message) => socket.send(message),
    listen(message, broken) {
      socket.on("message", message);
      socket.on("error", broken);
      socket.on("close", (code) => broken(new Error(`closed with ${code}`)));
    },
    leave: () => socket.terminate(),
  };
}
