import type { DescMessage, DescService, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** A generated service as grpc-js wants it: paths, kinds, and how each message becomes bytes and back. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  const methods = service.methods.map((method): [string, MethodDefinition<object, object>] => [
    method.localName,
    {
      path: `/${service.typeName}/${method.name}`,
      originalName: method.localName,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      ...codec("request", method.input),
      ...codec("response", method.output),
    },
  ]);
  return Object.fromEntries(methods);
}

function codec<K extends "request" | "response">(kind: K, message: DescMessage): Codec<K> {
  return {
    [`${kind}Serialize`]: (value: object) =>
      Buffer.from(toBinary(message, value as MessageShape<typeof message>)),
    [`${kind}Deserialize`]: (bytes: Buffer): object => fromBinary(message, bytes),
  } as Codec<K>;
}

type Codec<K extends string> = Record<`${K}Serialize`, (value: object) => Buffer> &
  Record<`${K}Deserialize`, (bytes: Buffer) => object>;
