import type { Call } from "./calls.ts";
import * as calls from "./calls.ts";

/** What a load generator does for the length of a run. */
export interface Work {
  readonly call: Call;
  readonly connections: number;
  /** Requests under way at a time on each connection. */
  readonly streams: number;
}

interface Named {
  readonly name: string;
  readonly doc: string;
}

/** The same load on every contender, for a while, again and again. */
export interface LoadRow extends Named {
  readonly kind: "load";
  readonly work: Work;
  /** Requests are so small that what a token costs shows beside them. */
  readonly small: boolean;
}

/** Latency at a rate that every contender can keep up with. */
export interface LatencyRow extends Named {
  readonly kind: "latency";
  readonly work: Work;
}

/** Memory of WebSockets that are open and silent. */
export interface IdleRow extends Named {
  readonly kind: "idle";
  readonly sockets: number;
}

/** From the start of a contender's process to its first good answers. */
export interface ColdStartRow extends Named {
  readonly kind: "cold-start";
}

/** Mixed load for minutes: does memory stay flat? */
export interface SoakRow extends Named {
  readonly kind: "soak";
}

export type Row = LoadRow | LatencyRow | IdleRow | ColdStartRow | SoakRow;

const { count: small } = calls.SMALL_MESSAGES;
const { count: large } = calls.LARGE_MESSAGES;

export const ROWS: readonly Row[] = [
  smallLoad(
    "grpc-unary-4x25",
    work(calls.GRPC_PING, 4, 25),
    "Unary gRPC calls on 4 connections, 25 at a time on each.",
  ),
  smallLoad(
    "grpc-unary-50x1",
    work(calls.GRPC_PING, 50, 1),
    "Unary gRPC calls on 50 connections, one at a time on each.",
  ),
  smallLoad(
    "grpc-unary-1x1",
    work(calls.GRPC_PING, 1, 1),
    "Unary gRPC calls on one connection, one at a time.",
  ),
  load(
    "grpc-unary-1MiB",
    work(calls.GRPC_LARGE, 4, 2),
    "gRPC calls with one message of 1 MiB each way (Echo.Chat) on 4 connections, 2 at a time on each.",
  ),
  load(
    "grpc-stream-64B",
    work(calls.GRPC_STREAM_SMALL, 4, 10),
    `Server-streaming gRPC calls (Echo.Count) on 4 connections, 10 at a time on each. Figures are per call; a call's reply has ${small} messages of 64 bytes.`,
  ),
  load(
    "grpc-stream-16KiB",
    work(calls.GRPC_STREAM_LARGE, 4, 4),
    `Server-streaming gRPC calls (Echo.Count) on 4 connections, 4 at a time on each. Figures are per call; a call's reply has ${large} messages of 16 KiB.`,
  ),
  load(
    "grpc-bidi-64B",
    work(calls.GRPC_BIDI, 4, 10),
    `Bidirectional gRPC calls (Echo.Chat) on 4 connections, 10 at a time on each. Figures are per call; a call has ${small} messages of 64 bytes each way.`,
  ),
  smallLoad(
    "http-h2c-4x25",
    work(calls.PING_H2C, 4, 25),
    "GET /ping over HTTP/2 (prior knowledge) on 4 connections, 25 at a time on each; HTTP/1.1 to the worker.",
  ),
  smallLoad("http-h1-100", work(calls.PING_H1, 100, 1), "GET /ping over HTTP/1.1 on 100 kept connections."),
  load(
    "http-h2c-1MiB-down",
    work(calls.DOWNLOAD_H2C, 4, 2),
    "A reply of 1 MiB over HTTP/2 on 4 connections, 2 at a time on each.",
  ),
  load(
    "http-h2c-1MiB-up",
    work(calls.UPLOAD_H2C, 4, 2),
    "A request of 1 MiB over HTTP/2 on 4 connections, 2 at a time on each.",
  ),
  load(
    "http-h1-1MiB-down",
    work(calls.DOWNLOAD_H1, 8, 1),
    "A reply of 1 MiB over HTTP/1.1 on 8 kept connections.",
  ),
  load(
    "http-h1-1MiB-up",
    work(calls.UPLOAD_H1, 8, 1),
    "A request of 1 MiB over HTTP/1.1 on 8 kept connections.",
  ),
  smallLoad(
    "ws-h1-64B",
    work(calls.PING_PONG_H1, 50, 1),
    "A binary message of 64 bytes and its echo, over and over, on 50 WebSockets (HTTP/1.1 upgrade).",
  ),
  load(
    "ws-h2-64B",
    work(calls.PING_PONG_H2, 2, 25),
    "The same on 50 WebSockets over HTTP/2 (extended CONNECT, RFC 8441), 25 on each of 2 connections; HTTP/1.1 to the worker.",
  ),
  {
    kind: "idle",
    name: "ws-idle",
    sockets: 10_000,
    doc: "WebSockets (HTTP/1.1 upgrade) that are open and silent, 10,000 if there may be as many.",
  },
  latency(
    "latency-grpc",
    work(calls.GRPC_PING, 4, 25),
    "Unary gRPC calls on 4 connections, at half of the lowest peak.",
  ),
  latency(
    "latency-h2c",
    work(calls.PING_H2C, 4, 25),
    "GET /ping over HTTP/2 on 4 connections, at half of the lowest peak.",
  ),
  latency(
    "latency-h1",
    work(calls.PING_H1, 20, 1),
    "GET /ping over HTTP/1.1 on 20 kept connections, at half of the lowest peak.",
  ),
  {
    kind: "cold-start",
    name: "cold-start",
    doc: "From the start of the process to its first good answer over each protocol. The workers are running already.",
  },
  {
    kind: "soak",
    name: "soak",
    doc: "All protocols at once at full load, for minutes, and the memory meanwhile. Only when asked for.",
  },
];

function work(call: Call, connections: number, streams: number): Work {
  return { call, connections, streams };
}

function load(name: string, work: Work, doc: string): LoadRow {
  return { kind: "load", name, doc, work, small: false };
}

function smallLoad(name: string, work: Work, doc: string): LoadRow {
  return { kind: "load", name, doc, work, small: true };
}

function latency(name: string, work: Work, doc: string): LatencyRow {
  return { kind: "latency", name, doc, work };
}
