import type { EdgeError } from "../errors.ts";
import type { Exchange, HeaderList } from "../exchange.ts";
import type { RepeatableBody } from "./repeatable-body.ts";

/** One exchange on its way to one worker. */
export interface Forward<C> {
  readonly exchange: Exchange;
  readonly upstream: C;
  /** What the worker gets, without framing and host. */
  readonly headers: HeaderList;
  /** When the exchange began, on performance.now()'s clock. */
  readonly started: number;
  /** What an earlier attempt has kept of the request's body. */
  body: RepeatableBody | undefined;
  /** The worker has accepted a WebSocket: whatever ends that is not held against the worker. */
  opened(): void;
  /** Called once, when the worker has done its part, or with why it could not. Another worker may then be tried. */
  done(error: EdgeError | undefined): void;
  /** Called in place of `done` when the worker was sent nothing, and is not to blame; no other one may be tried. */
  notSent(error: EdgeError): void;
}
