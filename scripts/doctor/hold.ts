import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { ChatMessageSchema } from "../../services/grpc/gen/echo_pb.ts";
import { withSession } from "../smoke/http.ts";
import type { Mode } from "./carriage.ts";
import type { Finding } from "./finding.ts";
import { failed, ok, sentence, unknown } from "./finding.ts";
import { faultOf } from "./grpc.ts";
import { GrpcCall } from "./grpc-call.ts";
import type { Site } from "./site.ts";
import { openSocket } from "./websocket.ts";

/** Something is sent this often, so that it is the time limit that cuts and not one for silence. */
const BEAT_MS = 10_000;

/** How long a WebSocket and a gRPC stream last, and who cuts them. Both are held at the same time. */
export function held(site: Site, seconds: number, mode: Mode, beatMs = BEAT_MS): Promise<Finding[]> {
  return Promise.all([heldSocket(site, seconds, beatMs), heldCall(site, seconds, mode, beatMs)]);
}

async function heldSocket(site: Site, seconds: number, beatMs: number): Promise<Finding> {
  const check = "a long WebSocket";
  const socket = await openSocket(site).catch(() => undefined);
  if (!(socket instanceof WebSocket))
    return unknown(check, "none could be opened", "Get a WebSocket through first.");
  const started = performance.now();
  const beat = setInterval(() => socket.ping(), beatMs);
  const closed = once(socket, "close") as Promise<[code: number, reason: Buffer]>;
  const end = await Promise.race([closed, after(seconds)]);
  clearInterval(beat);
  socket.terminate();
  if (end === undefined) return stillOpen(check, seconds);
  const [code, reason] = end;
  if (code === 1006) return cutInFront(check, "dropped without a Close frame", started);
  const when = `closed with ${code} ${reason.toString()}`.trim();
  // The edge's own words: a time limit that was set for this, or an instance that leaves.
  if (code === 1001 || code === 1012)
    return ok(check, `${when}, after ${since(started)}: clients come again`);
  return failed(
    check,
    `${when}, after ${since(started)}`,
    "Look at the WebSocket worker's log: it was closed there.",
  );
}

async function heldCall(site: Site, seconds: number, mode: Mode, beatMs: number): Promise<Finding> {
  const check = "a long gRPC stream";
  const patient = { ...site, timeoutMs: site.timeoutMs + seconds * 1000 };
  const started = performance.now();
  try {
    return await withSession(patient, async (session) => {
      const call = new GrpcCall(session, site, "/Echo/Chat");
      const message = toBinary(ChatMessageSchema, create(ChatMessageSchema, { message: "doctor" }));
      call.send(message);
      const beat = setInterval(() => call.send(message), beatMs);
      const cut = await Promise.race([call.ended.then(() => true), after(seconds)]);
      clearInterval(beat);
      if (cut === undefined) {
        call.cancel();
        return stillOpen(check, seconds);
      }
      const { status, messages } = call;
      if (status === undefined && messages.length > 0)
        return cutInFront(check, "cut without a status", started);
      if (status !== 0) return faultOf(call, check, mode, 0) ?? stillOpen(check, seconds);
      return failed(
        check,
        `ended with status 0 after ${since(started)}`,
        "Look at the gRPC worker's log: it ended the call.",
      );
    });
  } catch (thrown) {
    return cutInFront(check, sentence(thrown), started);
  }
}

function stillOpen(check: string, seconds: number): Finding {
  return ok(check, `open for all of ${seconds} s`);
}

function cutInFront(check: string, how: string, started: number): Finding {
  return failed(
    check,
    `${how}, after ${since(started)}: not by the edge`,
    "Raise the time limit of what stands in front of the edge (Cloud Run: --timeout 3600), and set LIMIT_TUNNEL_SECONDS a little below it, so that clients see a clean end.",
  );
}

function since(started: number): string {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}

function after(seconds: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), seconds * 1000).unref());
}
