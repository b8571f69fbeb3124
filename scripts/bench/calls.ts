import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ChatMessageSchema,
  CountReplySchema,
  CountRequestSchema,
  PingRequestSchema,
  PongResultSchema,
} from "../../services/grpc/gen/echo_pb.ts";

/** How a request travels from the load generator to what is measured. */
export type Protocol = "grpc" | "h2c" | "h1" | "ws" | "ws-h2";

/** A request and what its reply must be. */
export interface HttpCall {
  readonly protocol: "grpc" | "h2c" | "h1";
  readonly path: string;
  /** None makes it a GET. */
  readonly body: Buffer | undefined;
  /** Bytes of the whole reply body. */
  readonly replyBytes: number;
}

/** A message of 64 bytes to and fro on a WebSocket. */
export type PingPong = { readonly protocol: "ws" } | { readonly protocol: "ws-h2" };

export type Call = HttpCall | PingPong;

export const MEBIBYTE = 1_048_576;

/** How many messages a call of the streaming rows has, and bytes of payload in each. */
export const SMALL_MESSAGES = { count: 100, size: 64 } as const;
export const LARGE_MESSAGES = { count: 16, size: 16_384 } as const;

export const PONG = message(PongResultSchema, { message: "pong" });
/** Echo.Chat sends every message back, so a request of one message is a unary call in all but name. */
export const LARGE_CHAT = message(ChatMessageSchema, { payload: Buffer.alloc(MEBIBYTE) });
export const SMALL_CHAT = message(ChatMessageSchema, { payload: Buffer.alloc(SMALL_MESSAGES.size) });

export const GRPC_PING = grpc("/Echo/Ping", message(PingRequestSchema, { message: "ping" }), PONG.length);
export const GRPC_LARGE = grpc("/Echo/Chat", LARGE_CHAT, LARGE_CHAT.length);
export const GRPC_STREAM_SMALL = serverStream(SMALL_MESSAGES);
export const GRPC_STREAM_LARGE = serverStream(LARGE_MESSAGES);
export const GRPC_BIDI = grpc(
  "/Echo/Chat",
  Buffer.concat(Array.from({ length: SMALL_MESSAGES.count }, () => SMALL_CHAT)),
  SMALL_CHAT.length * SMALL_MESSAGES.count,
);

export const PING_REPLY = JSON.stringify({ message: "pong" });
export const UPLOAD_REPLY = JSON.stringify({ bytes: MEBIBYTE, sha256: "0".repeat(64) });

export const [PING_H2C, PING_H1] = onBoth("/ping", undefined, PING_REPLY.length);
export const [DOWNLOAD_H2C, DOWNLOAD_H1] = onBoth(`/download?bytes=${MEBIBYTE}`, undefined, MEBIBYTE);
export const [UPLOAD_H2C, UPLOAD_H1] = onBoth("/upload", Buffer.alloc(MEBIBYTE), UPLOAD_REPLY.length);

export const PING_PONG_H1: PingPong = { protocol: "ws" };
export const PING_PONG_H2: PingPong = { protocol: "ws-h2" };

export const GRPC_HEADERS = { "content-type": "application/grpc", te: "trailers" } as const;

/** Where the WebSocket worker answers, behind whatever listens on `port`. */
export function webSocketUrl(port: number): string {
  return `ws://127.0.0.1:${port}/ws`;
}

/** What Echo.Count answers, message by message. */
export function countReplies({ count, size }: { readonly count: number; readonly size: number }): Buffer[] {
  const payload = Buffer.alloc(size);
  return Array.from({ length: count }, (_, index) =>
    message(CountReplySchema, { number: index + 1, payload }),
  );
}

function serverStream(messages: { readonly count: number; readonly size: number }): HttpCall {
  const replyBytes = Buffer.concat(countReplies(messages)).length;
  return grpc("/Echo/Count", message(CountRequestSchema, messages), replyBytes);
}

function grpc(path: string, body: Buffer, replyBytes: number): HttpCall {
  return { protocol: "grpc", path, body, replyBytes };
}

function onBoth(path: string, body: Buffer | undefined, replyBytes: number): [h2c: HttpCall, h1: HttpCall] {
  return [
    { protocol: "h2c", path, body, replyBytes },
    { protocol: "h1", path, body, replyBytes },
  ];
}

/** A message as gRPC carries it: a byte that says "not compressed", the length, protobuf. */
function message<D extends DescMessage>(schema: D, value: MessageInitShape<D>): Buffer {
  const bytes = toBinary(schema, create(schema, value));
  const out = Buffer.alloc(5 + bytes.length);
  out.writeUInt32BE(bytes.length, 1);
  out.set(bytes, 5);
  return out;
}
