// What a page runs: two gRPC-Web clients that nobody here wrote, used alike. A browser gets this file with its types removed.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebClientBase, MethodDescriptor, MethodType } from "grpc-web";
import type { RpcError } from "grpc-web";
import type { PongResult } from "../../../services/grpc/gen/echo_pb.ts";
import { CountRequestSchema, Echo, PingRequestSchema } from "../../../services/grpc/gen/echo_pb.ts";

/** "connect-web" and "grpc-web" send and get bytes, "grpc-web text" base64. */
export type ClientName = "connect-web" | "grpc-web" | "grpc-web text";

export interface Call {
  readonly client: ClientName;
  /** Where the edge is. */
  readonly base: string;
  /** What the test calls it. */
  readonly key: string;
  readonly metadata: Record<string, string>;
  readonly timeoutMs?: number;
  /** Send cookies along. */
  readonly withCookies?: boolean;
}

/** What a Count asks for. */
export interface Counting {
  readonly count: number;
  readonly intervalMs?: number;
}

export interface Outcome {
  /** The status, and the message that came with it. */
  readonly code: number;
  readonly message: string;
  readonly replies: number;
  /** What came with the status. */
  readonly trailers: Record<string, string>;
}

/** What the page offers to the test. */
export interface Page {
  ping(call: Call): Promise<Outcome>;
  count(call: Call, count: Counting): Promise<Outcome>;
  cancel(key: string): void;
}

/** Tells the test that a message has come. */
declare const told: (key: string, text: string) => Promise<void>;

const cancels = new Map<string, () => void>();

async function byConnect(call: Call, count: Counting | undefined): Promise<Outcome> {
  const credentials = call.withCookies === true ? "include" : "same-origin";
  const fetching: typeof fetch = (input, init) => fetch(input, { ...init, credentials });
  const client = createClient(Echo, createGrpcWebTransport({ baseUrl: call.base, fetch: fetching }));
  const abort = new AbortController();
  cancels.set(call.key, () => abort.abort());
  let replies = 0;
  let trailers: Record<string, string> = {};
  const options: CallOptions = {
    headers: call.metadata,
    signal: abort.signal,
    ...(call.timeoutMs !== undefined && { timeoutMs: call.timeoutMs }),
    onTrailer: (fields) => (trailers = Object.fromEntries(fields)),
  };
  const came = (text: string): Promise<void> => {
    replies++;
    return told(call.key, text);
  };
  try {
    if (count === undefined) await came((await client.ping({ message: "hi" }, options)).message);
    else for await (const { number } of client.count(count, options)) await came(String(number));
    return { code: 0, message: "", replies, trailers };
  } catch (thrown) {
    const { code, rawMessage, metadata } = ConnectError.from(thrown);
    return { code, message: rawMessage, replies, trailers: Object.fromEntries(metadata) };
  }
}

function descriptor<I extends DescMessage, O extends DescMessage>(
  { name, input, output }: { name: string; input: I; output: O },
  type: string,
): MethodDescriptor<MessageShape<I>, MessageShape<O>> {
  // It has classes of messages in mind, and never makes one.
  const nothing = Object as unknown as new () => never;
  return new MethodDescriptor(
    `/Echo/${name}`,
    type,
    nothing,
    nothing,
    (request: MessageShape<I>) => toBinary(input, request),
    (bytes: Uint8Array) => fromBinary(output, bytes),
  );
}

function byGrpcWeb(call: Call, count: Counting | undefined): Promise<Outcome> {
  const client = new GrpcWebClientBase({
    format: call.client === "grpc-web" ? "binary" : "text",
    withCredentials: call.withCookies === true,
  });
  const metadata: Record<string, string> = { ...call.metadata };
  if (call.timeoutMs !== undefined) metadata["deadline"] = String(Date.now() + call.timeoutMs);
  let replies = 0;
  let trailers: Record<string, string> = {};
  return new Promise((resolve) => {
    const failed = ({ code, message, metadata: more }: RpcError): void =>
      resolve({ code, message, replies, trailers: more });
    const came = (text: string): void => {
      replies++;
      void told(call.key, text);
    };
    if (count === undefined) {
      const method = descriptor(Echo.method.ping, MethodType.UNARY);
      const request = create(PingRequestSchema, { message: "hi" });
      const done = (error: RpcError | null, reply: PongResult): void => {
        if (error !== null) return failed(error);
        came(reply.message);
        resolve({ code: 0, message: "", replies, trailers });
      };
      // The status comes first.
      const stream = client.rpcCall(`${call.base}/Echo/Ping`, request, metadata, method, done);
      stream.on("status", (status) => (trailers = status.metadata ?? {}));
      return;
    }
    const method = descriptor(Echo.method.count, MethodType.SERVER_STREAMING);
    const request = create(CountRequestSchema, count);
    const stream = client.serverStreaming(`${call.base}/Echo/Count`, request, metadata, method);
    stream.on("data", (reply) => came(String(reply.number)));
    stream.on("status", (status) => (trailers = status.metadata ?? {}));
    stream.on("error", failed);
    stream.on("end", () => resolve({ code: 0, message: "", replies, trailers }));
    cancels.set(call.key, () => {
      stream.cancel();
      // This client then says nothing more.
      resolve({ code: 1, message: "", replies, trailers });
    });
  });
}

const by = (call: Call, count?: Counting): Promise<Outcome> =>
  call.client === "connect-web" ? byConnect(call, count) : byGrpcWeb(call, count);

Object.assign(globalThis, {
  page: {
    ping: (call) => by(call),
    count: (call, count) => by(call, count),
    cancel: (key) => cancels.get(key)?.(),
  } satisfies Page,
});
