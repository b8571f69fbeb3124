import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import type { ClientOptions } from "ws";
import { WebSocket, WebSocketServer } from "ws";
import { webSocketAccept } from "../../edge/http1/upgrade.ts";
import { rawWorker } from "./workers.ts";

/** A client of the ws package; its errors are told by its close. */
export function openWebSocket(
  t: TestContext,
  port: number,
  protocols: string[] = [],
  options: ClientOptions = {},
): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, protocols, options);
  socket.on("error", () => {});
  t.after(() => socket.terminate());
  return socket;
}

/** The next message, as text. */
export async function nextMessage(socket: WebSocket): Promise<string> {
  return String((await once(socket, "message"))[0]);
}

/** How it was closed. */
export async function closedWith(socket: WebSocket): Promise<[code: number, reason: string]> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return [code, reason.toString()];
}

/** A ws server as the worker, with the connections it has. */
export async function wsWorker(
  t: TestContext,
  options: object = {},
): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...options });
  await once(server, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, server };
}

/** What asks for a WebSocket over HTTP/2 (RFC 8441). */
export const CONNECT = {
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":path": "/ws",
  ":authority": "a",
  "sec-websocket-version": "13",
};

/** An extended CONNECT (RFC 8441) once its reply is there. */
export async function extendedConnect(
  session: ClientHttp2Session,
  headers: object = {},
): Promise<{ stream: ClientHttp2Stream; reply: Record<string, unknown> }> {
  if (!session.remoteSettings?.enableConnectProtocol) await once(session, "remoteSettings");
  const stream = session.request({ ...CONNECT, ...headers }, { waitForTrailers: true });
  stream.on("error", () => {});
  const [reply] = (await once(stream, "response")) as [Record<string, unknown>];
  return { stream, reply };
}

/** A masked client frame, with a mask of zeros. */
export function clientFrame(opcode: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}

/** What asks for one over HTTP/1.1, but for its empty line. */
export const HANDSHAKE =
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/** A worker that accepts every handshake and then hands over the bare socket. */
export async function rawTunnel(
  t: TestContext,
  onOpen: (socket: Socket) => void,
  fields = "",
): Promise<string> {
  return rawWorker(t, (socket, text) => {
    if (!text.endsWith("\r\n\r\n") || socket.listenerCount("tunnel") > 0) return;
    socket.on("tunnel", () => {});
    const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1] ?? "";
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n${fields}\r\n`,
    );
    onOpen(socket);
  });
}
