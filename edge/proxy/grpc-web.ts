import { EdgeError } from "../errors.ts";
import { find } from "../headers.ts";
import type { Http2Upstream } from "../upstream/session.ts";
import type { Forward } from "./forward.ts";
import { forwardGrpc } from "./grpc.ts";

/** Carries a gRPC-Web call as the gRPC call that its exchange has made of it (grpc-web/exchange.ts). */
export function forwardGrpcWeb(forward: Forward<Http2Upstream>): void {
  const { method, authority, headers } = forward.exchange.head;
  if (method !== "POST") throw new EdgeError("method_not_allowed", "gRPC-Web calls are POST requests");
  // HTTP/1.0 may leave it out; HTTP/2 servers reset what has none.
  if (authority === "") throw new EdgeError("bad_request", "gRPC-Web calls need a Host field");
  // Messages within a compressed body cannot be told from each other, here or by a worker.
  if ((find(headers, "content-encoding") ?? "identity") !== "identity")
    throw new EdgeError("not_supported", "gRPC-Web requests with a content-encoding are not supported");
  forwardGrpc(forward);
}
