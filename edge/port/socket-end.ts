import type { SocketConstructorOpts } from "node:net";
import { Socket } from "node:net";
import { ReadBuffer } from "./read-buffer.ts";

/** A connection that is somebody's own: its socket, and how to read it. */
export interface SocketEnd {
  readonly socket: Socket;
  /** From now on `onBytes` hears what is read, which is valid during the call only. The end still comes as 'end'. */
  receive(onBytes: (bytes: Buffer) => void): void;
}

/** All clients are read into this one buffer. */
const READ_BUFFER = new ReadBuffer();

const nobody = (): void => {};

/** What Node keeps of a socket's connection: it is not documented, and so it may be missing. */
interface WithHandle {
  _handle?: unknown;
}

/**
 * The client's end of a connection that was accepted, half-open allowed (tunnels end one direction at a time). Read without an
 * allocation, a queue and an event for each read: that is what `onread` is for, which a socket can only be given when it is made. So
 * the connection's handle goes to a socket that was made with it, and `accepted` is left empty; without a handle it is read the
 * usual way. To be called in the event that brought it, before anything is read. A WebSocket message costs a twentieth less.
 */
export function adopt(accepted: Socket & WithHandle): SocketEnd {
  const { _handle: handle } = accepted;
  if (handle === undefined || handle === null) return asItIs(accepted);
  accepted._handle = null;
  accepted.destroy();
  let receive: (bytes: Buffer) => void = nobody;
  const onread = {
    buffer: READ_BUFFER.bytes,
    callback(length: number): boolean {
      receive(READ_BUFFER.view(length));
      return true;
    },
  };
  const options: object = { handle, allowHalfOpen: true, onread };
  return {
    socket: new Socket(options as SocketConstructorOpts),
    receive(onBytes) {
      receive = onBytes;
    },
  };
}

function asItIs(socket: Socket): SocketEnd {
  let receive: ((bytes: Buffer) => void) | undefined;
  socket.allowHalfOpen = true;
  return {
    socket,
    receive(onBytes) {
      if (receive === undefined) socket.on("data", (bytes: Buffer) => receive?.(bytes));
      receive = onBytes;
    },
  };
}
