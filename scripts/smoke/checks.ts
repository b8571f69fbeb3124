import { http2Get, http1Get } from "./http.ts";
import { grpcWeb } from "./grpc-web.ts";
import { bidi, clientStream, health, serverStream, unary } from "./grpc.ts";
import { webSocket1, webSocket2 } from "./websocket.ts";

/** Where and as whom to try. */
export interface Target {
  readonly url: URL;
  readonly token?: string;
  readonly timeoutMs: number;
}

/** How a protocol was carried, and what it answered. A failure is thrown as a sentence. */
export interface Outcome {
  readonly carried: string;
  readonly status: string;
}

export interface Check {
  readonly group: "http" | "grpc" | "ws";
  readonly name: string;
  readonly run: (target: Target) => Promise<Outcome>;
}

export const CHECKS: readonly Check[] = [
  { group: "http", name: "HTTP/1.1", run: http1Get },
  { group: "http", name: "HTTP/2", run: http2Get },
  { group: "grpc", name: "gRPC unary", run: unary },
  { group: "grpc", name: "gRPC server streaming", run: serverStream },
  { group: "grpc", name: "gRPC client streaming", run: clientStream },
  { group: "grpc", name: "gRPC bidi streaming", run: bidi },
  { group: "grpc", name: "gRPC health", run: health },
  { group: "grpc", name: "gRPC-Web", run: grpcWeb },
  { group: "ws", name: "WebSocket over HTTP/1.1", run: webSocket1 },
  { group: "ws", name: "WebSocket over HTTP/2", run: webSocket2 },
];
