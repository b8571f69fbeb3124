import { EdgeError, toEdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { find } from "../headers.ts";
import type { HealthCheck } from "../settings/health-check.ts";
import type { Address } from "../settings/parse.ts";
import type { Ask, Check, Verdict } from "./health-probe.ts";
import { USER_AGENT, askTcp, authorityOf, credentialsOf } from "./health-probe.ts";
import type { Origin } from "./origin.ts";
import type { Http2Upstream } from "./session.ts";
import type { ReplyReceiver } from "./stream.ts";

/** A check that suits a gRPC worker. */
export type GrpcCheck = Exclude<HealthCheck, { kind: "http" | "websocket" }>;

/** Bytes of a reply that are looked at; a HealthCheckResponse has 2. */
const MAX_REPLY_BYTES = 1024;
/** Of grpc/doc/statuscodes.md. */
const OK = "0";
const NOT_FOUND = "5";
const UNIMPLEMENTED = "12";
/** Of grpc/health/v1/health.proto; 0, UNKNOWN, is not on the wire. */
const SERVING = 1;
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/** How gRPC workers are asked, on a connection of the check's own: `open` makes what it is sent by. */
export function askGrpc(
  check: GrpcCheck,
  connectMs: number,
  open: (address: Address) => Http2Upstream,
): Check {
  switch (check.kind) {
    case "off":
      return undefined;
    case "tcp":
      return (address) => askTcp(address, connectMs);
    case "grpc":
      return (address, origin) => askHealth(check.service, address, origin, open(address));
  }
}

function askHealth(
  service: string,
  address: Address,
  origin: Origin | undefined,
  upstream: Http2Upstream,
): Ask {
  // prettier-ignore
  const pseudo = [":method", "POST", ":scheme", address.kind === "tls" ? "https" : "http", ":authority", authorityOf(address), ":path", "/grpc.health.v1.Health/Check", "te", "trailers"];
  const fields = ["content-type", "application/grpc", "user-agent", USER_AGENT];
  return (tell) => {
    upstream
      .ready()
      .then(() => {
        const stream = upstream.open(pseudo, [...fields, ...credentialsOf(origin)], [], receiverOf(tell));
        stream.write(healthRequest(service));
        stream.end([]);
      })
      .catch((thrown: unknown) => tell(toEdgeError(thrown)));
    return () => upstream.close();
  };
}

function receiverOf(tell: (verdict: Verdict) => void): ReplyReceiver {
  let body = Buffer.alloc(0);
  return {
    inform() {},
    head(status, headers, end) {
      const isGrpc = (find(headers, "content-type") ?? "").startsWith("application/grpc");
      if (status !== 200 || !isGrpc) tell(unwell(`it answered HTTP ${status}, and not gRPC`));
      else if (end) tell(judgeHealth(headers, body));
    },
    data(chunk) {
      if (body.length < MAX_REPLY_BYTES) body = Buffer.concat([body, chunk]);
    },
    end: (trailers) => tell(judgeHealth(trailers, body)),
    abort: tell,
  };
}

/** A HealthCheckRequest in its gRPC frame: field 1 is the service's name, at most 100 bytes of it. */
export function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  return Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
}

/**
 * What a worker says of itself, from the end of its reply and the reply's bytes. One that does not have the health service has
 * answered, too, and is well.
 */
export function judgeHealth(trailers: HeaderList, body: Buffer): Verdict {
  const status = find(trailers, "grpc-status");
  if (status === UNIMPLEMENTED) return undefined;
  if (status === NOT_FOUND) return unwell("it knows no service of that name");
  if (status !== OK) return unwell(`it answered gRPC status ${status ?? "none"}`);
  const state = servingStatus(body);
  if (state === SERVING) return undefined;
  return unwell(state === undefined ? "its answer is no HealthCheckResponse" : `it is ${nameOf(state)}`);
}

function nameOf(state: number): string {
  return STATES[state] ?? `in state ${state}`;
}

/** Field 1 of a HealthCheckResponse in its gRPC frame; undefined for what is none. Other fields it has none, so far. */
function servingStatus(body: Buffer): number | undefined {
  const bytes = body.length < 5 ? -1 : body.readUInt32BE(1);
  if (body[0] !== 0 || bytes !== body.length - 5) return undefined;
  if (bytes === 0) return 0;
  return bytes === 2 && body[5] === 0x08 ? body[6] : undefined;
}

function unwell(why: string): EdgeError {
  return new EdgeError("upstream_garbage", why);
}
