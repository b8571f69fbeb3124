import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PingRequestSchema, PongResultSchema } from "../../services/grpc/gen/echo_pb.ts";
import type { Outcome, Target } from "./checks.ts";
import { authorization, refusal, unreachable } from "./http.ts";

/** A message as it goes over the wire: a flag, its length, its bytes. */
function framed(bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** A unary call as a browser makes it. */
export async function grpcWeb(target: Target): Promise<Outcome> {
  const reply = await fetch(new URL("/Echo/Ping", target.url), {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1", ...authorization(target) },
    body: framed(toBinary(PingRequestSchema, create(PingRequestSchema, { message: "smoke" }))),
    signal: AbortSignal.timeout(target.timeoutMs),
  }).catch((error: unknown) => {
    throw whyFailed(error, target);
  });
  if (reply.status !== 200) throw refusal(reply.status, (await reply.text()).slice(0, 1000));
  const failed = reply.headers.get("grpc-status");
  if (failed !== null) throw new Error(`${failed} ${reply.headers.get("grpc-message") ?? ""}`);
  const body = Buffer.from(await reply.arrayBuffer());
  const length = body.length < 5 ? 0 : body.readUInt32BE(1);
  const trailers = body.subarray(5 + length);
  if (trailers[0] !== 0x80 || !/^grpc-status: 0\r$/m.test(trailers.toString("latin1", 5)))
    throw new Error("the reply does not end in trailers with status 0");
  if (fromBinary(PongResultSchema, body.subarray(5, 5 + length)).message !== "pong")
    throw new Error("OK, but the reply is not pong");
  return { carried: target.url.protocol === "https:" ? "HTTP/1.1 over TLS" : "HTTP/1.1", status: "OK" };
}

function whyFailed(error: unknown, { timeoutMs }: Target): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error.name === "TimeoutError") return new Error(`no answer within ${timeoutMs} ms`);
  return unreachable(error.cause instanceof Error ? error.cause : error);
}
