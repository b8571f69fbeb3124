import type { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
} from "@grpc/grpc-js";
import { Metadata, status } from "@grpc/grpc-js";
import type {
  ChatMessage,
  CollectReply,
  CollectRequest,
  CountReply,
  CountRequest,
  PingRequest,
  PongResult,
} from "./gen/echo_pb.ts";
import { CollectReplySchema, CountReplySchema, PongResultSchema } from "./gen/echo_pb.ts";

/** What the calls here have in common. */
interface Call {
  readonly metadata: Metadata;
  sendMetadata(fields: Metadata): void;
}

/** Says which worker this is, and by which way the call came, to whoever asks with `x-who`. */
function introduce(call: Call): void {
  if (call.metadata.get("x-who").length === 0) return;
  const fields = new Metadata();
  fields.set("x-worker", `grpc ${process.pid}`);
  for (const via of call.metadata.get("via")) fields.add("x-via", via);
  call.sendMetadata(fields);
}

const ping: handleUnaryCall<PingRequest, PongResult> = (call, done) => {
  introduce(call);
  done(null, create(PongResultSchema, { message: "pong" }));
};

const count: handleServerStreamingCall<CountRequest, CountReply> = (call) => {
  const { count: total, intervalMs, size } = call.request;
  if (total < 1 || total > 1_000_000 || intervalMs > 60_000 || size > 16_777_216) {
    call.emit("error", {
      code: status.INVALID_ARGUMENT,
      details: "count, interval_ms or size is out of range",
    });
    return;
  }
  introduce(call);
  void (async () => {
    const payload = Buffer.alloc(size);
    for (let number = 1; number <= total && !call.cancelled; number++) {
      if (intervalMs > 0 && number > 1) await sleep(intervalMs);
      const full = !call.write(create(CountReplySchema, { number, payload }));
      if (full) await roomOrGone(call);
    }
    call.end();
  })();
};

const collect: handleClientStreamingCall<CollectRequest, CollectReply> = (call, done) => {
  let messages = 0;
  let bytes = 0;
  call.on("data", ({ payload }: CollectRequest) => {
    messages++;
    bytes += payload.length;
  });
  call.on("end", () => done(null, create(CollectReplySchema, { messages, bytes: BigInt(bytes) })));
};

const chat: handleBidiStreamingCall<ChatMessage, ChatMessage> = (call) => {
  call.on("data", (message: ChatMessage) => {
    if (call.write(message)) return;
    call.pause();
    call.once("drain", () => call.resume());
  });
  call.on("end", () => call.end());
};

/** Resolves when the call takes more, or was given up. */
function roomOrGone(call: EventEmitter & { readonly cancelled: boolean }): Promise<void> {
  if (call.cancelled) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      call.off("drain", done);
      call.off("cancelled", done);
      resolve();
    };
    call.on("drain", done);
    call.on("cancelled", done);
  });
}

export const echo = { ping, count, collect, chat };
