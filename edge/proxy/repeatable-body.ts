import type { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, HeaderList, Outgoing, Source } from "../exchange.ts";
import { trailersToWorker } from "../headers.ts";
import { keep, memoryOf, memoryOfText } from "../waiting.ts";

/** Bytes of a request that are kept for another attempt; a larger one has one attempt. */
const MAX_KEPT_BYTES = 65_536;
/** Bytes up to which the first piece is kept as text: a cheaper copy, and mostly the only one. */
const MAX_TEXT_BYTES = 4096;

/** One try: the worker it goes to, and who hears when the client leaves. */
export interface Attempt {
  readonly worker: Outgoing;
  abort(error: EdgeError): void;
}

/**
 * A request's body on its way to a worker, kept until the worker has shown that it processes the request: one that refused it,
 * or left before it began, has not, and then another gets the same bytes (RFC 9113, section 8.7). Trailers pass through here and
 * nowhere else, so this is where they lose what must not reach a worker.
 */
export class RepeatableBody implements BodyReceiver, Source {
  readonly #exchange: Exchange;
  #attempt: Attempt | undefined;
  #received = false;
  #isWhole = true;
  /** What has come so far: the first piece where it is small, then the others. */
  #text = "";
  #pieces: Buffer[] | undefined;
  #keptBytes = 0;
  #trailers: HeaderList | undefined;
  #neverIndexed: readonly string[] | undefined;
  /** Bytes that left in this attempt, and in the one that got furthest: the client gets credit for each once. */
  #sent = 0;
  #credited = 0;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** False once something of it is gone. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Bytes of memory of what is kept, and of what waits for the worker. */
  get held(): number {
    const kept = this.#text.length + memoryOf(this.#pieces) + memoryOfText(this.#trailers ?? NO_TRAILERS);
    return kept + (this.#attempt?.worker.waiting ?? 0);
  }

  /** Sends it all to a worker: what has come, and what comes. */
  sendTo(attempt: Attempt): void {
    const { worker } = attempt;
    this.#attempt = attempt;
    this.#sent = 0;
    worker.source = this;
    if (!this.#received) {
      this.#received = true;
      return this.#exchange.receive(this);
    }
    if (this.#text !== "") worker.write(Buffer.from(this.#text, "latin1"));
    for (const piece of this.#pieces ?? NOTHING) worker.write(piece);
    if (this.#trailers !== undefined) worker.end(this.#trailers, this.#neverIndexed);
  }

  /** There will be no other attempt. */
  forget(): void {
    this.#isWhole = false;
    this.#text = "";
    this.#pieces = undefined;
  }

  data(chunk: Buffer): void {
    if (this.#isWhole) this.#keep(chunk);
    this.#attempt?.worker.write(chunk);
  }

  end(trailers: HeaderList, neverIndexed?: readonly string[]): void {
    this.#trailers = trailers.length === 0 ? trailers : trailersToWorker(trailers);
    this.#neverIndexed = neverIndexed;
    this.#attempt?.worker.end(this.#trailers, neverIndexed);
  }

  abort(error: EdgeError): void {
    this.#attempt?.abort(error);
  }

  /** So much has left in this attempt. */
  consume(bytes: number): void {
    this.#sent += bytes;
    const more = this.#sent - this.#credited;
    if (more <= 0) return;
    this.#credited = this.#sent;
    this.#exchange.consume(more);
  }

  #keep(chunk: Buffer): void {
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > MAX_KEPT_BYTES) this.forget();
    else if (this.#keptBytes === chunk.length && chunk.length <= MAX_TEXT_BYTES)
      this.#text = chunk.latin1Slice(0, chunk.length);
    else keep((this.#pieces ??= []), chunk);
  }
}

const NOTHING: readonly Buffer[] = [];
const NO_TRAILERS: HeaderList = [];
