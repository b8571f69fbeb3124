import { create } from "@bufbuild/protobuf";
import type { Client, ClientOptions } from "@grpc/grpc-js";
import type {
  CallOptions,
  ClientDuplexStream,
  ClientReadableStream,
  ClientUnaryCall,
  ClientWritableStream,
  Metadata,
  ServiceError,
  StatusObject,
} from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { makeGenericClientConstructor } from "@grpc/grpc-js";
import type { TestContext } from "node:test";
import { serviceDefinition } from "../../services/grpc/definition.ts";
import type {
  ChatMessage,
  CollectReply,
  CollectRequest,
  CountReply,
  CountRequest,
  PingRequest,
  PongResult,
} from "../../services/grpc/gen/echo_pb.ts";
import { Echo, PingRequestSchema } from "../../services/grpc/gen/echo_pb.ts";

import type { TestEdge } from "./edge.ts";
import { testEdge } from "./edge.ts";
import { http2Worker } from "./workers.ts";

type Done<T> = (error: ServiceError | null, value?: T) => void;

/** The Echo service as a grpc-js client has it. */
export interface EchoClient extends Client {
  ping(
    request: PingRequest,
    metadata: Metadata,
    options: CallOptions,
    done: Done<PongResult>,
  ): ClientUnaryCall;
  count(request: CountRequest, metadata: Metadata, options?: CallOptions): ClientReadableStream<CountReply>;
  collect(
    metadata: Metadata,
    options: CallOptions,
    done: Done<CollectReply>,
  ): ClientWritableStream<CollectRequest>;
  chat(metadata: Metadata, options?: CallOptions): ClientDuplexStream<ChatMessage, ChatMessage>;
}

export function echoClient(
  t: Pick<TestContext, "after">,
  port: number,
  options: ClientOptions = {},
): EchoClient {
  const Constructor = makeGenericClientConstructor(serviceDefinition(Echo), "Echo");
  const client = new Constructor(
    `127.0.0.1:${port}`,
    credentials.createInsecure(),
    options,
  ) as unknown as EchoClient;
  t.after(() => client.close());
  return client;
}

/** A gRPC message as it goes over the wire: not compressed, its length, its bytes. */
export function message(bytes = 0): Buffer {
  const frame = Buffer.alloc(5 + bytes);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}

export const GRPC = {
  ":method": "POST",
  ":path": "/Echo/Ping",
  "content-type": "application/grpc",
  te: "trailers",
};

/** The status a call ended with. */
export function ended(call: NodeJS.EventEmitter): Promise<StatusObject> {
  call.on("error", () => {});
  return new Promise((resolve) => call.once("status", resolve));
}

/** An edge in front of a gRPC worker that does what the test wants. */
export async function withWorker(
  t: Pick<TestContext, "after">,
  onStream: Parameters<typeof http2Worker>[1],
): Promise<TestEdge> {
  return testEdge(t, { GRPC_UPSTREAMS: await http2Worker(t, onStream) });
}

/** One Ping: the reply, or the error it was refused with; and the trailers. */
export function ping(
  client: EchoClient,
  metadata: Metadata,
  options: CallOptions = {},
): Promise<{ reply?: PongResult; error?: ServiceError; trailers?: Metadata }> {
  return new Promise((resolve) => {
    const call = client.ping(
      create(PingRequestSchema, { message: "hi" }),
      metadata,
      options,
      (error, reply) => {
        if (error !== null) resolve({ error });
        else
          call.once("status", ({ metadata: trailers }) =>
            resolve({ ...(reply === undefined ? {} : { reply }), trailers }),
          );
      },
    );
  });
}
