import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import type { TestContext } from "node:test";
import { webSocketAccept } from "../../edge/http1/upgrade.ts";
import { PREFACE, frame } from "./frames.ts";

/** What a worker does to one connection, each time that it is asked something on it. */
export interface Hostility {
  http(socket: Socket): void;
  grpc(socket: Socket, stream: number): void;
  websocket(socket: Socket, key: string): void;
}

/** A worker that speaks no protocol well, for all three of them on one port, which is answered. */
export async function hostileWorker(t: TestContext, hostility: Hostility): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    socket.once("data", (first: Buffer) => meet(socket, first, hostility));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

function meet(socket: Socket, first: Buffer, hostility: Hostility): void {
  if (first.subarray(0, 3).toString() === "PRI")
    return eachCall(socket, first, (stream) => hostility.grpc(socket, stream));
  const key = /sec-websocket-key: (\S+)/i.exec(first.toString("latin1"))?.[1];
  if (key !== undefined) return hostility.websocket(socket, key);
  hostility.http(socket);
  socket.on("data", () => hostility.http(socket));
}

/** Reads frames, as far as to know which streams are opened. */
function eachCall(socket: Socket, first: Buffer, onCall: (stream: number) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const read = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 9) {
      const end = 9 + bytes.readUIntBE(0, 3);
      if (bytes.length < end) return;
      if (bytes[3] === 1) onCall(bytes.readUInt32BE(5));
      bytes = bytes.subarray(end);
    }
  };
  read(first.subarray(PREFACE.length));
  socket.on("data", read);
}

/** SETTINGS, which everything over HTTP/2 begins with. */
export const SETTINGS = frame("SETTINGS", 0, 0);

/** The answer to a WebSocket handshake. */
export function accepting(key: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n\r\n`;
}

/** Writes the same again and again, as fast as it is taken, until the connection ends. */
export function flood(socket: Socket, start: string | Buffer, again: string | Buffer): void {
  socket.write(start);
  const on = (): void => {
    while (!socket.destroyed && socket.write(again));
  };
  socket.on("drain", on);
  on();
}
