/** How a request travels from the load generator to what is measured. */
export type Protocol = "grpc" | "h2c" | "h1" | "ws";

/** The same load on every contender, for a while, again and again. */
export interface LoadRow {
  readonly kind: "load";
  readonly name: string;
  readonly doc: string;
  readonly protocol: Protocol;
  readonly connections: number;
  /** Requests under way at a time on each connection. */
  readonly streams: number;
}

/** From the start of a contender's process to its first good answers. */
export interface ColdStartRow {
  readonly kind: "cold-start";
  readonly name: string;
  readonly doc: string;
}

export type Row = LoadRow | ColdStartRow;

export const ROWS: readonly Row[] = [
  load("grpc-unary-4x25", "grpc", 4, 25, "Unary gRPC calls on 4 connections, 25 at a time on each."),
  load("grpc-unary-50x1", "grpc", 50, 1, "Unary gRPC calls on 50 connections, one at a time on each."),
  load("grpc-unary-1x1", "grpc", 1, 1, "Unary gRPC calls on one connection, one at a time."),
  load(
    "http-h2c-4x25",
    "h2c",
    4,
    25,
    "GET /ping over HTTP/2 (prior knowledge) on 4 connections, 25 at a time on each; HTTP/1.1 to the worker.",
  ),
  load("http-h1-100", "h1", 100, 1, "GET /ping over HTTP/1.1 on 100 kept connections."),
  load(
    "ws-h1-64B",
    "ws",
    50,
    1,
    "A binary message of 64 bytes and its echo, over and over, on 50 WebSockets (HTTP/1.1 upgrade).",
  ),
  {
    kind: "cold-start",
    name: "cold-start",
    doc: "From the start of the process to its first good answer over each protocol. The workers are running already.",
  },
];

function load(name: string, protocol: Protocol, connections: number, streams: number, doc: string): LoadRow {
  return { kind: "load", name, doc, protocol, connections, streams };
}
