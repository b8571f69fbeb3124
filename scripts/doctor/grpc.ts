import { create, toBinary } from "@bufbuild/protobuf";
import {
  ChatMessageSchema,
  CollectRequestSchema,
  CountRequestSchema,
  PingRequestSchema,
} from "../../services/grpc/gen/echo_pb.ts";
import { withSession } from "../smoke/http.ts";
import type { Mode } from "./carriage.ts";
import type { Finding } from "./finding.ts";
import { again, failed, ok, sentence, unknown } from "./finding.ts";
import { GrpcCall } from "./grpc-call.ts";
import { grpcRefusalOf, refusalOf } from "./refusal.ts";
import type { Site } from "./site.ts";

const UNIMPLEMENTED = 12;
const REPLIES = 2;
/** Longer than what a proxy may wait for more to send along (HAProxy: 200 ms). */
const INTERVAL_MS = 400;
const PATIENCE_MS = 2000;

const REFLECTION = ["v1", "v1alpha"].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);
/** ServerReflectionRequest { list_services: "*" } */
const LIST_SERVICES = Buffer.from([0x3a, 1, 0x2a]);

const HTTP2 = "Deploy with --use-http2, or let what stands in front of the edge send it gRPC over h2c";

/** The four kinds of calls, to the example gRPC worker; another one shows as far as it goes that they get through. */
export async function grpcFindings(site: Site, mode: Mode): Promise<Finding[]> {
  const kinds = [unary, serverStreaming, clientStreaming, bidi];
  return Promise.all(kinds.map((kind) => kind(site, mode)));
}

type Kind = (site: Site, mode: Mode) => Promise<Finding>;

const unary: Kind = (site, mode) =>
  attempt(site, mode, "gRPC unary", "/Echo/Ping", async (call, check) => {
    call.send(toBinary(PingRequestSchema, create(PingRequestSchema, { message: "doctor" })));
    call.finish();
    await call.ended;
    return faultOf(call, check, mode, 1) ?? ok(check, through(call));
  });

const serverStreaming: Kind = (site, mode) => again(() => counted(site, mode));

const counted: Kind = (site, mode) =>
  attempt(site, mode, "gRPC server streaming", "/Echo/Count", async (call, check) => {
    const request = create(CountRequestSchema, { count: REPLIES, intervalMs: INTERVAL_MS });
    call.send(toBinary(CountRequestSchema, request));
    call.finish();
    await call.ended;
    const fault = faultOf(call, check, mode, REPLIES);
    if (fault !== undefined) return fault;
    const early = (call.came.at(-1) ?? 0) - (call.came[0] ?? 0);
    if (early >= INTERVAL_MS / 4) return ok(check, `${through(call)}, one by one`);
    return failed(
      check,
      "all replies came at once",
      "Switch buffering of replies off in what stands in front of the edge.",
    );
  });

const clientStreaming: Kind = (site, mode) =>
  attempt(site, mode, "gRPC client streaming", "/Echo/Collect", async (call, check) => {
    const message = toBinary(
      CollectRequestSchema,
      create(CollectRequestSchema, { payload: Buffer.alloc(1000) }),
    );
    for (let i = 0; i < REPLIES; i++) call.send(message);
    call.finish();
    await call.ended;
    return faultOf(call, check, mode, 1) ?? ok(check, through(call));
  });

const bidi: Kind = async (site, mode) => {
  const chat = toBinary(ChatMessageSchema, create(ChatMessageSchema, { message: "doctor" }));
  const found = await duplex(site, mode, "/Echo/Chat", chat);
  if (found.verdict !== "unknown") return found;
  // A worker of one's own may have reflection, which is such a call.
  for (const path of REFLECTION) {
    const other = await duplex(site, mode, path, LIST_SERVICES);
    if (other.verdict !== "unknown") return other;
  }
  return found;
};

/** Does the reply to the first message come before the client has finished? */
function duplex(site: Site, mode: Mode, path: string, message: Uint8Array): Promise<Finding> {
  return attempt(site, mode, "gRPC bidi streaming", path, async (call, check) => {
    call.send(message);
    const early = await Promise.race([call.answered.then(() => true), late(site.patienceMs ?? PATIENCE_MS)]);
    call.finish();
    await call.ended;
    const fault = faultOf(call, check, mode, 1);
    if (fault !== undefined) return fault;
    if (early) return ok(check, `${through(call)}, full-duplex`);
    return failed(
      check,
      "half-duplex: no reply before the client had finished",
      `${HTTP2}, without buffering requests.`,
    );
  });
}

/** A call on a connection of its own; what breaks it off is a finding, too. */
async function attempt(
  site: Site,
  mode: Mode,
  check: string,
  path: string,
  use: (call: GrpcCall, check: string) => Promise<Finding>,
): Promise<Finding> {
  try {
    return await withSession(site, (session) => use(new GrpcCall(session, site, path), check));
  } catch (thrown) {
    return failed(check, sentence(thrown), mode === "http2" ? NO_REPLY : `${HTTP2}; and see the edge's log.`);
  }
}

const NO_REPLY = "Look at the edge's log: the call got no end.";

/** What is wrong with a call that should have brought `replies` messages and status 0. */
export function faultOf(call: GrpcCall, check: string, mode: Mode, replies: number): Finding | undefined {
  if (call.answer.status === 0)
    return failed(
      check,
      `reset without a reply (code ${call.resetCode})`,
      mode === "http2" ? NO_REPLY : `${HTTP2}.`,
    );
  if (!call.isGrpc) return notGrpc(call, check);
  const { status, message } = call;
  if (status === undefined) return cut(call, check);
  if (status === 0 && call.messages.length === replies) return undefined;
  if (status === UNIMPLEMENTED)
    return unknown(
      check,
      `arrives as HTTP/2; the worker has no Echo service (UNIMPLEMENTED)`,
      "Try this kind of call with a client of your own service.",
    );
  if (status === 0)
    return failed(
      check,
      `${call.messages.length} of ${replies} replies came`,
      "Look at the gRPC worker's log: the call ended early.",
    );
  const refusal = grpcRefusalOf(status, message);
  if (refusal?.code === "unauthenticated")
    return failed(
      check,
      `status 16: ${message}`,
      "Let Authorization through for gRPC as well, in what stands in front of the edge.",
    );
  return failed(check, `status ${status}: ${message}`, refusal?.change ?? "Look at the gRPC worker's log.");
}

/** gRPC that comes over HTTP/1.1 is no gRPC to the edge: it goes to the HTTP worker, which answers as it likes. */
function notGrpc(call: GrpcCall, check: string): Finding {
  const { status } = call.answer;
  const refusal = refusalOf(call.answer, "gRPC");
  if (refusal !== undefined) return failed(check, refusal.saw, refusal.change);
  const saw = `${status}, and no gRPC: it arrived as HTTP/1.1 and went to the HTTP worker`;
  return failed(check, saw, `${HTTP2}.`);
}

function cut(call: GrpcCall, check: string): Finding {
  if (call.resetCode !== 0)
    return failed(
      check,
      `cut by a reset (code ${call.resetCode})`,
      "Look at the log of what stands in front of the edge, and at its time limits.",
    );
  return failed(
    check,
    "ended without trailers",
    `${HTTP2}: the status of a call is in trailers, and they got lost.`,
  );
}

function through(call: GrpcCall): string {
  return `arrives as HTTP/2, status 0 in trailers, ${call.messages.length} ${call.messages.length === 1 ? "reply" : "replies"}`;
}

function late(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref());
}
