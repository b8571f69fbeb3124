import { randomBytes } from "node:crypto";
import proxy from "http2-proxy";
import { BEARER_PROTOCOL } from "../auth/bearer.ts";
import { EdgeError, fromUpstream, toEdgeError } from "../errors.ts";
import type { Exchange, HeaderList } from "../exchange.ts";
import { find, findAll, listMembers, toClient, withoutFields } from "../headers.ts";
import { webSocketAccept } from "../http1/upgrade.ts";
import { requestHead } from "../upstream/http1/request-head.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import { CarriedCall } from "./carried.ts";
import type { Forward } from "./forward.ts";
import { onceIdentified } from "./identified.ts";
import type { WorkerReplyStandIn } from "./stand-ins.ts";
import { RequestStandIn } from "./stand-ins.ts";
import { Tunnel } from "./tunnel.ts";
import type { Tunnels } from "./tunnels.ts";

/** What came behind the handshake, for http2-proxy: the tunnel has it. */
const NOTHING = Buffer.alloc(0);
const UPGRADE: Readonly<Record<string, string>> = { upgrade: "websocket" };

export interface WebSocketOptions {
  readonly tunnels: Tunnels;
  /** Milliseconds a worker has to answer the handshake. */
  readonly handshakeMs: number;
}

/** What carries a WebSocket to a worker; done when both directions have ended. */
export function createForwardWebSocket(options: WebSocketOptions): (forward: Forward<Http1Upstream>) => void {
  return onceIdentified((forward) => {
    forwardCarried(forward, options).then(
      () => forward.done(undefined),
      (thrown: unknown) => forward.done(toEdgeError(thrown)),
    );
  });
}

/**
 * Carries it by http2-proxy: an HTTP/1.1 upgrade there, whatever it was here. Resolves when both directions have ended,
 * rejects with an EdgeError.
 */
async function forwardCarried(forward: Forward<Http1Upstream>, options: WebSocketOptions): Promise<void> {
  const { exchange } = forward;
  checkHandshake(exchange);
  if (exchange.gone) throw new EdgeError("client_gone");
  const key = randomBytes(16).toString("base64");
  const offered = listMembers(exchange.head.headers, "sec-websocket-protocol");
  const tunnel = new Tunnel(exchange);
  // A plain GET stand-in: http2-proxy knows neither `Upgrade: WebSocket` in other letters nor extended CONNECT.
  const request = new RequestStandIn(exchange, "GET", UPGRADE);
  const call = new CarriedCall(
    forward,
    {
      method: "GET",
      text: requestHead("GET", exchange.head.path, handshakeHeaders(forward, key, offered)),
      body: "none",
      upgrade: true,
      isLast: true,
      repeatable: true,
    },
    {
      connected: () => tunnel.start(options.handshakeMs),
      finished: () => tunnel.destroy(),
      upgraded(headers, worker, rest) {
        checkAnswer(headers, key, offered);
        exchange.accept(acceptHeaders(headers));
        forward.opened();
        tunnel.opened(worker, rest);
        options.tunnels.opened(tunnel);
      },
    },
  );
  options.tunnels.add(tunnel, forward.upstream);
  try {
    await proxy.ws(request, tunnel, NOTHING, {
      onReq: () => call.request,
      onRes: (_request, _socket, answer) => {
        tunnel.answered();
        call.respond(answer as WorkerReplyStandIn);
      },
    });
  } catch (thrown) {
    const error = fromUpstream(thrown);
    tunnel.broken(error);
    if (!tunnel.finished) throw error;
  } finally {
    options.tunnels.delete(tunnel);
    tunnel.destroy();
  }
}

/** RFC 6455, section 4.2.1. An extended CONNECT has no key: its framing proves as much (RFC 8441, section 5). */
function checkHandshake({ head }: Exchange): void {
  if (head.version === "2") return;
  const keys = findAll(head.headers, "sec-websocket-key");
  if (keys.length === 1 && /^[A-Za-z0-9+/]{22}==$/.test(keys[0] ?? "")) return;
  throw new EdgeError("bad_request", "sec-websocket-key must be 16 bytes in base64");
}

function handshakeHeaders(
  { exchange, headers, upstream: { origin } }: Forward<Http1Upstream>,
  key: string,
  offered: string[],
): HeaderList {
  const out = [
    "host",
    origin?.authority ?? exchange.head.authority,
    "connection",
    "Upgrade",
    "upgrade",
    "websocket",
    "sec-websocket-key",
    key,
  ];
  // The token has done its work; the worker chooses among the real subprotocols.
  const real = offered.filter((name) => !name.startsWith(BEARER_PROTOCOL));
  if (real.length > 0) out.push("sec-websocket-protocol", real.join(", "));
  if (find(headers, "sec-websocket-version") === undefined) out.push("sec-websocket-version", "13");
  out.push(...withoutFields(headers, "sec-websocket-key", "sec-websocket-protocol", "expect"));
  if (origin !== undefined) out.push(...origin.credentials.fields);
  return out;
}

/** RFC 6455, section 4.1: a 101 counts only if it answers this handshake, with a subprotocol that was offered. */
function checkAnswer(headers: HeaderList, key: string, offered: readonly string[]): void {
  if (find(headers, "upgrade")?.toLowerCase() !== "websocket") {
    throw new EdgeError("upstream_garbage", "the worker upgraded to another protocol");
  }
  if (find(headers, "sec-websocket-accept") !== webSocketAccept(key)) {
    throw new EdgeError("upstream_garbage", "the worker's sec-websocket-accept is wrong");
  }
  const chosen = findAll(headers, "sec-websocket-protocol");
  if (chosen.length > 1 || (chosen[0] !== undefined && !offered.includes(chosen[0]))) {
    throw new EdgeError("upstream_garbage", "the worker chose a subprotocol that was not offered");
  }
}

/** Each hop has its own key, so the worker's proof ends here. */
function acceptHeaders(headers: HeaderList): string[] {
  return withoutFields(toClient(headers), "sec-websocket-accept", "content-length");
}
