import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { ChannelCredentials, ClientDuplexStream, MethodDefinition, StatusObject } from "@grpc/grpc-js";
import { Client, Metadata, credentials, status } from "@grpc/grpc-js";
import { serviceDefinition } from "../../services/grpc/definition.ts";
import type { ChatMessage, CollectReply, CountReply, PongResult } from "../../services/grpc/gen/echo_pb.ts";
import {
  ChatMessageSchema,
  CollectRequestSchema,
  CountRequestSchema,
  Echo,
  PingRequestSchema,
} from "../../services/grpc/gen/echo_pb.ts";
import type { Outcome, Target } from "./checks.ts";

const ECHO = serviceDefinition(Echo);

/** grpc.health.v1.Health/Check of the whole server: an empty request; the reply's first field is the status. */
const HEALTH: MethodDefinition<object, Buffer> = {
  path: "/grpc.health.v1.Health/Check",
  requestStream: false,
  responseStream: false,
  requestSerialize: () => Buffer.alloc(0),
  requestDeserialize: () => ({}),
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};
const SERVING = Buffer.from([8, 1]);

type Method = MethodDefinition<object, object>;

/** Sends `messages` by a method of any kind; answers what came back. A status but OK is thrown as a sentence. */
async function call(
  target: Target,
  method: Method,
  messages: readonly object[],
): Promise<{ replies: object[]; outcome: Outcome }> {
  const { url } = target;
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? "443" : "80") : url.port;
  const secure: ChannelCredentials = tls ? credentials.createSsl() : credentials.createInsecure();
  const client = new Client(`${url.hostname}:${port}`, secure);
  const metadata = new Metadata();
  if (target.token !== undefined) metadata.set("authorization", `Bearer ${target.token}`);
  try {
    // A bidirectional call carries every kind: on the wire a unary call is one message each way.
    const stream: ClientDuplexStream<object, object> = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
      { deadline: Date.now() + target.timeoutMs },
    );
    const replies: object[] = [];
    stream.on("data", (reply: object) => replies.push(reply));
    stream.on("error", () => {});
    for (const message of messages) stream.write(message);
    stream.end();
    const end = await new Promise<StatusObject>((resolve) => stream.once("status", resolve));
    if (end.code !== status.OK) throw new Error(`${status[end.code]} ${end.details}`.trim());
    return { replies, outcome: { carried: `gRPC over ${tls ? "HTTP/2 and TLS" : "h2c"}`, status: "OK" } };
  } finally {
    client.close();
  }
}

function method(name: string): Method {
  const found = ECHO[name] as Method | undefined;
  if (found === undefined) throw new Error(`proto/echo.proto has no ${name}`);
  return found;
}

/** The outcome, if what came back is right. */
function expect(right: boolean, outcome: Outcome, sentence: string): Outcome {
  if (!right) throw new Error(`OK, but ${sentence}`);
  return outcome;
}

export async function unary(target: Target): Promise<Outcome> {
  const { replies, outcome } = await call(target, method("ping"), [
    create(PingRequestSchema, { message: "ping" }),
  ]);
  return expect((replies[0] as PongResult | undefined)?.message === "pong", outcome, "the reply is not pong");
}

export async function serverStream(target: Target): Promise<Outcome> {
  const { replies, outcome } = await call(target, method("count"), [
    create(CountRequestSchema, { count: 5 }),
  ]);
  const numbers = (replies as CountReply[]).map(({ number }) => number).join();
  return expect(numbers === "1,2,3,4,5", outcome, `5 messages were asked for and ${replies.length} came`);
}

export async function clientStream(target: Target): Promise<Outcome> {
  const payload = Buffer.alloc(1000);
  const messages = Array.from({ length: 5 }, () => create(CollectRequestSchema, { payload }));
  const { replies, outcome } = await call(target, method("collect"), messages);
  const reply = replies[0] as CollectReply | undefined;
  return expect(reply?.messages === 5 && reply.bytes === 5000n, outcome, "not every message arrived");
}

export async function bidi(target: Target): Promise<Outcome> {
  const texts = ["a", "b", "c"];
  const messages = texts.map((message) =>
    create(ChatMessageSchema, { message } satisfies MessageInitShape<typeof ChatMessageSchema>),
  );
  const { replies, outcome } = await call(target, method("chat"), messages);
  return expect(
    (replies as ChatMessage[]).map(({ message }) => message).join() === "a,b,c",
    outcome,
    "the messages did not come back",
  );
}

export async function health(target: Target): Promise<Outcome> {
  const { replies, outcome } = await call(target, HEALTH as unknown as Method, [{}]);
  return expect(
    SERVING.equals(replies[0] as Buffer),
    { ...outcome, status: "SERVING" },
    "the worker is not SERVING",
  );
}
