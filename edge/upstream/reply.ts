import { EdgeError } from "../errors.ts";
import { CODE } from "../http2/frame.ts";
import type { Head } from "../http2/header-blocks.ts";
import { resetBy } from "../http2/reset.ts";
import type { StreamEvents } from "../http2/stream.ts";
import type { ReplyReceiver } from "./stream.ts";

/** Tells a receiver of reply heads. */
export class Reply implements StreamEvents {
  readonly closed: () => void;
  readonly #receiver: ReplyReceiver;

  constructor(receiver: ReplyReceiver, closed: () => void) {
    this.#receiver = receiver;
    this.closed = closed;
  }

  replied(head: Head, end: boolean): void {
    const status = Number(head.fields[1]);
    const headers = (head.reply ??= head.fields.slice(2));
    if (status < 200) this.#receiver.inform(status, headers, head.neverIndexed);
    else this.#receiver.head(status, headers, end, head.neverIndexed);
  }
}

/** What a receiver hears when a worker resets its stream, or goes. */
export function brokenOff(code: number): EdgeError {
  // RFC 9113, section 8.7: nothing of the request was processed.
  if (code === CODE.REFUSED_STREAM) return new EdgeError("upstream_unprocessed");
  // What a worker finds to be too much is its client's doing: nobody shall have a worker left out by asking for it.
  if (code === CODE.ENHANCE_YOUR_CALM) return new EdgeError("too_much");
  return resetBy(code, new EdgeError("upstream_reset"));
}
