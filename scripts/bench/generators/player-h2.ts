import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Player } from "./player.ts";

/** The first byte of a frame, with FIN (RFC 6455, section 5.2), and MASK in the second, beside a length of less than 126. */
const BINARY = 0x82;
const PING = 0x89;
const PONG = 0x8a;
const MASKED = 0x80;
/** A client's frame has a key (section 5.3); with one of zeros the payload stays as it is. */
const HEAD_BYTES = 6;
const REPLY_HEAD_BYTES = 2;
const MAX_PAYLOAD_BYTES = 125;

/** Opens a WebSocket on a stream of an HTTP/2 session (RFC 8441) that allows it, for binary messages of up to 125 bytes. */
export async function playerOverHttp2(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
): Promise<Player> {
  const stream = session.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":path": "/ws",
      "sec-websocket-version": "13",
      ...headers,
    },
    { endStream: false },
  );
  const [answer] = (await once(stream, "response")) as [{ ":status"?: number }];
  if (answer[":status"] !== 200) throw new Error(`the handshake was answered with ${answer[":status"]}`);
  return {
    send: (message) => void stream.write(frame(BINARY, message)),
    listen(message, broken) {
      const pong = (payload: Buffer): void => void stream.write(frame(PONG, payload));
      stream.on("data", byFrame({ message, pong, broken }));
      stream.on("error", broken);
      stream.on("close", () => broken(new Error("the stream was closed")));
    },
    leave: () => leave(stream),
  };
}

/** Rejects unless the server's SETTINGS allow extended CONNECT, before which nobody may try (RFC 8441, section 3). */
export async function mayConnect(session: ClientHttp2Session): Promise<void> {
  if (Object.keys(session.remoteSettings).length === 0 || session.connecting) {
    await once(session, "remoteSettings");
  }
  if (session.remoteSettings.enableConnectProtocol !== true)
    throw new Error("does not offer extended CONNECT");
}

function leave(stream: ClientHttp2Stream): void {
  stream.on("error", () => {});
  stream.destroy();
}

function frame(first: number, message: Buffer): Buffer {
  if (message.length > MAX_PAYLOAD_BYTES) throw new Error("the message is too long");
  const bytes = Buffer.alloc(HEAD_BYTES + message.length);
  bytes[0] = first;
  bytes[1] = MASKED | message.length;
  bytes.set(message, HEAD_BYTES);
  return bytes;
}

interface FrameEvents {
  message(payload: Buffer): void;
  /** The server has asked whether anybody is there. */
  pong(payload: Buffer): void;
  broken(error: Error): void;
}

/** Cuts what comes into frames. A frame that is neither a message nor a ping is an error, since none is expected. */
function byFrame({ message, pong, broken }: FrameEvents): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const [first, length] = rest;
      if (first === undefined || length === undefined) return;
      if ((first !== BINARY && first !== PING) || length > MAX_PAYLOAD_BYTES)
        return broken(new Error(`a frame that begins with ${first.toString(16)} came`));
      const end = REPLY_HEAD_BYTES + length;
      if (rest.length < end) return;
      const payload = rest.subarray(REPLY_HEAD_BYTES, end);
      rest = rest.subarray(end);
      if (first === PING) pong(payload);
      else message(payload);
    }
  };
}
