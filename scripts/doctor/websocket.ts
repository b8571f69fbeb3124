import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { IncomingHttpHeaders } from "node:http2";
import { WebSocket } from "ws";
import { limited, unreachable, withSession } from "../smoke/http.ts";
import type { Answer } from "./answer.ts";
import { headOf, read1, readBody, remoteSettings } from "./answer.ts";
import type { Carriage } from "./carriage.ts";
import type { Finding } from "./finding.ts";
import { failed, ok, sentence } from "./finding.ts";
import { refusalOf } from "./refusal.ts";
import type { Site } from "./site.ts";
import { credentials } from "./site.ts";

/** An empty Ping with a mask of zeros, and the Pong that any server must answer it with (RFC 6455, section 5.5). */
const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
const PONG = Buffer.from([0x8a, 0x00]);

/** Also what to change where handshakes arrive as plain requests. */
export const PASS_UPGRADE =
  "Let Upgrade and Connection through in what stands in front of the edge: the handshake loses them.";

const OPEN_TO_HTTP2 =
  "Set WEBSOCKET_OVER_HTTP2=on, and if it is, deploy in the default mode (--no-use-http2): the front end speaks HTTP/2 to the edge, and the upgrade got lost there.";

/** A WebSocket by an HTTP/1.1 upgrade, as clients make it. Answers with the socket, or with what the server said instead. */
export async function openSocket(site: Site): Promise<WebSocket | Answer> {
  const url = new URL(site.wsPath, site.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url, { headers: credentials(site), perMessageDeflate: false });
  socket.on("error", () => {});
  const opened = new Promise<WebSocket | Answer>((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("unexpected-response", (_request, reply: IncomingMessage) => {
      read1(reply).then(resolve, reject);
    });
    socket.once("error", (error) => reject(unreachable(error)));
  });
  try {
    return await limited(site, opened);
  } catch (thrown) {
    socket.terminate();
    throw thrown;
  }
}

/** Does an upgrade get through, and do frames, both ways? */
export async function overUpgrade(site: Site, { mode, webSocket }: Carriage): Promise<Finding> {
  const check = "WebSocket by upgrade";
  let opened: WebSocket | Answer;
  try {
    opened = await openSocket(site);
  } catch (thrown) {
    return failed(check, sentence(thrown), mode === "http2" ? OPEN_TO_HTTP2 : PASS_UPGRADE);
  }
  if (!(opened instanceof WebSocket)) {
    if (webSocket?.as === "request") return failed(check, `${opened.status} instead of 101`, PASS_UPGRADE);
    return refusedUpgrade(opened, check, mode === "http2" || isReset(opened));
  }
  try {
    opened.ping();
    await limited(site, once(opened, "pong"));
    return ok(check, "101, and a Ping was answered");
  } catch {
    return failed(
      check,
      "101, but a Ping got no answer",
      "Look at the WebSocket worker's log, and whether what stands in front of the edge passes frames on.",
    );
  } finally {
    opened.terminate();
  }
}

/** Envoy's words for an extended CONNECT that the edge did not take. */
function isReset({ body }: Answer): boolean {
  return body.includes("reset reason: remote reset");
}

function refusedUpgrade(answer: Answer, check: string, http2: boolean): Finding {
  const refusal = refusalOf(answer, "WebSocket");
  if (refusal?.by === "the edge") return failed(check, refusal.saw, refusal.change);
  if (http2 && answer.status >= 500)
    return failed(check, `${answer.status}, not from the edge`, OPEN_TO_HTTP2);
  if (refusal !== undefined) return failed(check, refusal.saw, refusal.change);
  if (answer.status === 404 || answer.status === 400)
    return failed(
      check,
      `${answer.status} from the worker`,
      "Say with --ws-path where the WebSocket worker answers, or let Upgrade and Connection through in what stands in front of the edge.",
    );
  return failed(check, `${answer.status} instead of 101`, PASS_UPGRADE);
}

/** Does what clients speak HTTP/2 to offer extended CONNECT (RFC 8441), and does it work? */
export function overConnect(site: Site, { mode }: Carriage): Promise<Finding> {
  const change = mode === "http2" ? OPEN_TO_HTTP2 : BROKEN_OFFER;
  const check = "WebSocket by CONNECT";
  return withSession(site, async (session) => {
    await remoteSettings(session);
    if (session.remoteSettings.enableConnectProtocol !== true)
      return ok(check, "not offered, so clients upgrade over HTTP/1.1");
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": site.wsPath,
      ":scheme": site.url.protocol.slice(0, -1),
      ":authority": site.url.host,
      "sec-websocket-version": "13",
      ...credentials(site),
    });
    stream.on("error", () => {});
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    const head = headOf(headers);
    if (head.status !== 200) {
      const refusal = refusalOf({ ...head, body: await readBody(stream) }, "WebSocket");
      return failed(
        check,
        refusal?.saw ?? `${head.status} instead of 200`,
        refusal?.by === "the edge" ? refusal.change : change,
      );
    }
    stream.write(PING);
    let seen = Buffer.alloc(0);
    // A worker may have something to say first.
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      seen = Buffer.concat([seen, bytes]);
      if (seen.includes(PONG)) return ok(check, "200, and a Ping was answered");
    }
    return failed(check, "200, but a Ping got no answer", change);
  }).catch((thrown: unknown) => failed(check, sentence(thrown), change));
}

const BROKEN_OFFER =
  "Set WEBSOCKET_OVER_HTTP2=off, or switch it off in what stands in front of the edge: it is offered, and browsers will use it.";
