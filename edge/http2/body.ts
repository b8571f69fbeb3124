import type { Http2Stream } from "node:http2";
import { constants } from "node:http2";
import type { RESET } from "../errors.ts";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, HeaderList, Incoming, Outgoing } from "../exchange.ts";
import { fromRaw, toObject } from "../headers.ts";
import { ReadableSource, writeTo } from "../node-streams.ts";

/** Both directions of one HTTP/2 stream, whichever end opened it. */
export class StreamBody implements Incoming, Outgoing {
  onSent: (bytes: number) => void = () => {};
  /** Called when the last frame of our direction has been handed to the transport. */
  onEnded: () => void = () => {};

  readonly #stream: Http2Stream;
  readonly #source: ReadableSource;
  #trailersIn: HeaderList = [];
  #trailersOut: HeaderList = [];
  #ended = false;

  /** `abortedBy` makes the error that a receiver hears when the peer resets the stream or vanishes. */
  constructor(stream: Http2Stream, abortedBy: (resetCode: number) => EdgeError) {
    this.#stream = stream;
    this.#source = new ReadableSource(stream, () =>
      stream.aborted || stream.rstCode ? undefined : this.#trailersIn,
    );
    stream.on("trailers", (_headers: unknown, _flags: unknown, raw: string[]) => {
      this.#trailersIn = fromRaw(raw);
    });
    stream.on("wantTrailers", () => {
      try {
        stream.sendTrailers(toObject(this.#trailersOut));
        setImmediate(() => this.onEnded());
      } catch {
        this.reset("INTERNAL_ERROR");
      }
    });
    // The reset code says it all; without a listener Node would throw.
    stream.on("error", () => {});
    stream.once("close", () => this.#source.abort(abortedBy(stream.rstCode ?? constants.NGHTTP2_NO_ERROR)));
  }

  receive(receiver: BodyReceiver): void {
    this.#source.receive(receiver);
  }

  consume(bytes: number): void {
    this.#source.consume(bytes);
  }

  write(chunk: Buffer): void {
    writeTo(this.#stream, chunk, this.onSent);
  }

  end(trailers: HeaderList): void {
    if (this.#ended || this.#stream.destroyed) return;
    this.#ended = true;
    this.#trailersOut = trailers;
    this.#stream.end();
  }

  /** Resets the stream. A stream opened with `waitForTrailers` sends RST_STREAM and not a clean end first. */
  reset(code: keyof typeof RESET): void {
    if (this.#stream.destroyed) return;
    this.#source.detach();
    this.#stream.close(constants[`NGHTTP2_${code}`]);
  }

  /** Throws away what the peer still sends. */
  discard(): void {
    this.#source.detach();
  }
}

export function peerReset(code: number, gone: EdgeError): EdgeError {
  return code === constants.NGHTTP2_NO_ERROR || code === constants.NGHTTP2_CANCEL
    ? gone
    : new EdgeError(gone.code, `${gone.row.text} (HTTP/2 reset code ${code})`);
}
