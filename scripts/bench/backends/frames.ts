import { readConfig } from "../../../edge/settings/config.ts";
import type { Exchange } from "../../../edge/exchange.ts";
import { createEdgeServer } from "../../../edge/port/server.ts";
import * as calls from "../calls.ts";

/**
 * A backend that sends every gRPC message as a DATA frame of its own, as most gRPC servers do, and counts what it gets
 * instead of decoding it. It is the edge's own server without anything behind it.
 */
const config = readConfig({ LIMIT_STREAMS: "1000" });

/** Echo.Count's replies, by the size of the request, which tells the two apart. */
const STREAMS = new Map([
  [calls.GRPC_STREAM_SMALL.body?.length, calls.countReplies(calls.SMALL_MESSAGES)],
  [calls.GRPC_STREAM_LARGE.body?.length, calls.countReplies(calls.LARGE_MESSAGES)],
]);
const UPLOAD_REPLY = Buffer.from(calls.UPLOAD_REPLY);

const server = createEdgeServer(config, (exchange) => {
  const { path } = exchange.head;
  if (path === "/Echo/Ping") return onEnd(exchange, () => answer(exchange, [calls.PONG]));
  if (path === "/Echo/Count") return onEnd(exchange, (body) => answer(exchange, STREAMS.get(body) ?? []));
  if (path === "/Echo/Chat") return echo(exchange);
  onEnd(exchange, () => {
    exchange.respond(200, ["content-length", String(UPLOAD_REPLY.length)], false);
    exchange.write(UPLOAD_REPLY);
    exchange.end([]);
  });
});
process.stdout.write(`${JSON.stringify({ port: await server.listen(0) })}\n`);

/** Calls back with the number of bytes once all of the request has come. */
function onEnd(exchange: Exchange, done: (bytes: number) => void): void {
  let bytes = 0;
  exchange.receive({
    data(chunk) {
      bytes += chunk.length;
      exchange.consume(chunk.length);
    },
    end: () => done(bytes),
    abort: () => {},
  });
}

function answer(exchange: Exchange, messages: readonly Buffer[]): void {
  exchange.respond(200, ["content-type", "application/grpc"], false);
  for (const message of messages) exchange.write(message);
  exchange.end(["grpc-status", "0"]);
}

/** A message back for every message's worth of bytes: which size it is, the call's first bytes say. */
function echo(exchange: Exchange): void {
  let message: Buffer | undefined;
  let pending = 0;
  exchange.respond(200, ["content-type", "application/grpc"], false);
  exchange.receive({
    data(chunk) {
      message ??= chunk[2] === 0 ? calls.SMALL_CHAT : calls.LARGE_CHAT;
      for (pending += chunk.length; pending >= message.length; pending -= message.length) {
        exchange.write(message);
      }
      exchange.consume(chunk.length);
    },
    end: () => exchange.end(["grpc-status", "0"]),
    abort: () => {},
  });
}
