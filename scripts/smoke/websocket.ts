import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { once } from "node:events";
import { WebSocket } from "ws";
import type { Outcome, Target } from "./checks.ts";
import { authorization, carriedBy, limited, refusal, unreachable, withSession } from "./http.ts";

const QUESTION = '{"message":"smoke"}';

export function webSocket1(target: Target): Promise<Outcome> {
  const url = new URL("/ws", target.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url, { headers: authorization(target) });
  const answer = new Promise<Outcome>((resolve, reject) => {
    socket.once("open", () => socket.send(QUESTION));
    socket.once("unexpected-response", (_req, reply) => {
      let body = "";
      reply.on("data", (chunk: Buffer) => (body += chunk.toString()));
      reply.on("end", () => reject(refusal(reply.statusCode ?? 0, body)));
    });
    socket.once("error", (error) => reject(unreachable(error)));
    socket.once("message", (data) => {
      if (!String(data).includes('"message":"pong"'))
        return reject(new Error("101, but the reply is not pong"));
      socket.once("close", (code) =>
        resolve({
          carried: `HTTP/1.1 upgrade${url.protocol === "wss:" ? " over TLS" : ""}`,
          status: `101, closed ${code}`,
        }),
      );
      socket.close(1000);
    });
  });
  return limited(target, answer).finally(() => socket.terminate());
}

/** RFC 8441: an extended CONNECT whose stream carries the frames. */
export function webSocket2(target: Target): Promise<Outcome> {
  return withSession(target, async (session) => {
    await settings(session);
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/ws",
      ":scheme": target.url.protocol.slice(0, -1),
      ":authority": target.url.host,
      "sec-websocket-version": "13",
      ...authorization(target),
    });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    const status = Number(headers[":status"]);
    if (status !== 200) throw refusal(status, String((await once(stream, "data"))[0]));
    stream.write(textFrame(QUESTION));
    const [frame] = (await once(stream, "data")) as [Buffer];
    if (!frame.includes('"message":"pong"')) throw new Error("200, but the reply is not pong");
    stream.end(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    const [close] = (await once(stream, "data")) as [Buffer];
    return {
      carried: `extended CONNECT, ${carriedBy(session)}`,
      status: `200, closed ${close.readUInt16BE(2)}`,
    };
  });
}

/** The server's first SETTINGS say whether it takes extended CONNECT. */
async function settings(session: ClientHttp2Session): Promise<void> {
  await once(session, "remoteSettings");
  if (session.remoteSettings.enableConnectProtocol !== true)
    throw new Error("the server does not advertise extended CONNECT (RFC 8441)");
}

/** A masked text frame (clients mask: RFC 6455, section 5.3), with a mask of zeros: nothing here is secret. */
function textFrame(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}
