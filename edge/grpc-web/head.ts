import type { HeaderList, RequestHead } from "../exchange.ts";
import { HeadMemo } from "../exchange.ts";
import { find, listMembers, withoutFields } from "../headers.ts";
import { Recall } from "../recall.ts";

/** A gRPC-Web request as one of gRPC, and what its sender wants the reply to look like. */
export interface GrpcWebHead {
  /** The head as a gRPC client would have sent it. */
  readonly head: RequestHead;
  /** True when the request's body is base64. */
  readonly sendsText: boolean;
  /** True when the client said that it would wait for a 100 (RFC 9110, section 10.1.1). */
  readonly awaitsContinue: boolean;
  /** True when the reply's body shall be. */
  readonly wantsText: boolean;
  /** The content-type of the reply. */
  readonly replyType: string;
}

/** Fields that say how a call is carried. */
const OF_THE_CARRIAGE = ["content-type", "accept", "accept-encoding", "expect", "x-grpc-web"];

const READ = new Recall<RequestHead, GrpcWebHead>(read);

/** Reads a head that was routed as gRPC-Web. */
export function grpcWebHead(head: RequestHead): GrpcWebHead {
  return head.memo === undefined ? read(head) : READ.of(head);
}

function read(head: RequestHead): GrpcWebHead {
  const asked = readType(find(head.headers, "content-type") ?? "");
  const isText = asked?.isText === true;
  // Text is asked for by Accept (PROTOCOL-WEB.md, "Text-encoded (response) streams"); who does not say gets what it sends.
  const wanted = listMembers(head.headers, "accept")
    .map(readType)
    .find((type) => type !== undefined);
  const wantsText = wanted?.isText ?? isText;
  const format = asked?.format ?? "";
  return {
    head: {
      ...head,
      headers: asGrpc(head.headers, format),
      ...(head.memo !== undefined && { memo: new HeadMemo() }),
    },
    sendsText: isText,
    awaitsContinue: find(head.headers, "expect")?.toLowerCase() === "100-continue",
    wantsText,
    replyType: `application/grpc-web${wantsText ? "-text" : ""}${format}`,
  };
}

/** What was said of how the call is carried is no business of the worker's; the rest is metadata. */
function asGrpc(headers: HeaderList, format: string): HeaderList {
  const fields = withoutFields(headers, ...OF_THE_CARRIAGE);
  return ["content-type", `application/grpc${format}`, ...fields];
}

function readType(value: string): { isText: boolean; format: string } | undefined {
  const match = /^application\/grpc-web(-text)?(\+[\w.-]+)?(?=$|[; ])/i.exec(value);
  return match === null ? undefined : { isText: match[1] !== undefined, format: match[2] ?? "" };
}
