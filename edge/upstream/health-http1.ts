import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { find } from "../headers.ts";
import type { HealthCheck } from "../settings/health-check.ts";
import { webSocketAccept } from "../http1/upgrade.ts";
import type { Address } from "../settings/parse.ts";
import type { Ask, Check } from "./health-probe.ts";
import { USER_AGENT, askTcp, authorityOf, credentialsOf } from "./health-probe.ts";
import { requestHead } from "./http1/request-head.ts";
import type { WorkerReceiver, WorkerRequest } from "./http1/stream.ts";
import type { Http1Upstream } from "./http1/upstream.ts";
import type { Origin } from "./origin.ts";

/** A check that suits a worker which speaks HTTP/1.1. */
export type Http1Check = Exclude<HealthCheck, { kind: "grpc" }>;

/** Milliseconds that a worker has to say goodbye to a WebSocket that was only tried. */
const GOODBYE_MS = 1000;

/** How HTTP/1.1 workers are asked, on a connection of the check's own: `open` makes what it is sent by. */
export function askHttp1(
  check: Http1Check,
  connectMs: number,
  open: (address: Address) => Http1Upstream,
): Check {
  switch (check.kind) {
    case "off":
      return undefined;
    case "tcp":
      return (address) => askTcp(address, connectMs);
    case "http":
      return (address, origin) => askHttp(check.path, address, origin, open(address));
    case "websocket":
      return (address, origin) => askWebSocket(check.path, address, origin, open(address));
  }
}

function askHttp(path: string, address: Address, origin: Origin | undefined, upstream: Http1Upstream): Ask {
  const fields = ["host", authorityOf(address), "user-agent", USER_AGENT, "connection", "close"];
  return (tell) => {
    let answered = 0;
    const stream = upstream.open(getting(path, [...fields, ...credentialsOf(origin)], false), {
      isGone: false,
      connected() {},
      inform() {},
      head(status) {
        answered = status;
      },
      data: (chunk) => stream.consume(chunk.length),
      end: () => tell(answered >= 200 && answered < 300 ? undefined : unlike(answered, "a 2xx")),
      abort: tell,
    });
    return () => upstream.close();
  };
}

function askWebSocket(
  path: string,
  address: Address,
  origin: Origin | undefined,
  upstream: Http1Upstream,
): Ask {
  const key = randomBytes(16).toString("base64");
  // prettier-ignore
  const fields = ["host", authorityOf(address), "user-agent", USER_AGENT, "connection", "Upgrade", "upgrade", "websocket", "sec-websocket-version", "13", "sec-websocket-key", key];
  return (tell) => {
    const receiver: WorkerReceiver = {
      isGone: false,
      connected() {},
      inform() {},
      head: (status) => tell(unlike(status, "101")),
      data() {},
      end() {},
      abort: tell,
      upgraded(headers, worker) {
        if (!accepts(headers, key)) {
          worker.socket.destroy();
          return tell(new EdgeError("upstream_garbage", "its 101 does not answer this handshake"));
        }
        worker.receive(() => {});
        sayGoodbye(worker.socket);
        tell(undefined);
      },
    };
    upstream.open(getting(path, [...fields, ...credentialsOf(origin)], true), receiver);
    return () => upstream.close();
  };
}

/** Closes with 1000, and leaves the worker time to answer. */
function sayGoodbye(socket: Socket): void {
  socket.on("error", () => {});
  socket.once("end", () => socket.end());
  // Not the socket's own timeout: a worker that goes on talking would put that off for ever.
  const timer = setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.unref();
  socket.write(maskedClose());
}

/** A Close frame with 1000, as clients send it (RFC 6455, sections 5.3 and 5.5.1). */
function maskedClose(): Buffer {
  const mask = randomBytes(4);
  const code = Buffer.from([0x03, 0xe8]).map((byte, at) => byte ^ (mask[at] ?? 0));
  return Buffer.concat([Buffer.from([0x88, 0x82]), mask, code]);
}

function getting(path: string, fields: HeaderList, upgrade: boolean): WorkerRequest {
  return {
    method: "GET",
    text: requestHead("GET", path, fields),
    body: "none",
    isLast: false,
    upgrade,
    repeatable: false,
  };
}

/** RFC 6455, section 4.1. */
function accepts(headers: HeaderList, key: string): boolean {
  return (
    find(headers, "upgrade")?.toLowerCase() === "websocket" &&
    find(headers, "sec-websocket-accept") === webSocketAccept(key)
  );
}

function unlike(status: number, wanted: string): EdgeError {
  return new EdgeError("upstream_garbage", `it answered ${status} in place of ${wanted}`);
}
