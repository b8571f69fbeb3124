import type { BodyReceiver, HeaderList, Outgoing, Source } from "../exchange.ts";

/** What a worker's reply is told to. */
export interface ReplyReceiver extends BodyReceiver {
  inform(status: number, headers: HeaderList, neverIndexed?: readonly string[]): void;
  /** `end` is true when nothing follows: for gRPC, a trailers-only reply. */
  head(status: number, headers: HeaderList, end: boolean, neverIndexed?: readonly string[]): void;
}

/** One request to a worker: the request's bytes go out, the reply's come in. */
export interface UpstreamStream extends Outgoing, Source {
  /** True once all of the request has gone out, or can no longer. */
  readonly isSent: boolean;
  /** Tells the worker that nobody waits any more. */
  cancel(): void;
}
