import type { EdgeError } from "../errors.ts";
import { toEdgeError } from "../errors.ts";
import type { BodyReceiver, HeaderList, Incoming } from "../exchange.ts";
import { Base64Reader, notBase64 } from "./base64.ts";
import { Credit } from "./credit.ts";

/** A request's body on its way out of base64. */
export class RequestText implements BodyReceiver {
  readonly #client: Incoming;
  readonly #receiver: BodyReceiver;
  readonly #reader = new Base64Reader();
  readonly #credit = new Credit();
  #isBroken = false;

  constructor(client: Incoming, receiver: BodyReceiver) {
    this.#client = client;
    this.#receiver = receiver;
  }

  get held(): number {
    return this.#receiver.held ?? 0;
  }

  consume(bytes: number): void {
    this.#client.consume(this.#credit.give(bytes));
  }

  data(chunk: Buffer): void {
    if (this.#isBroken) return;
    try {
      const bytes = this.#reader.read(chunk);
      this.#credit.add(chunk.length, bytes.length);
      if (bytes.length > 0) this.#receiver.data(bytes);
      else this.consume(0);
    } catch (thrown) {
      this.#break(toEdgeError(thrown));
    }
  }

  end(trailers: HeaderList): void {
    if (this.#isBroken) return;
    if (this.#reader.isBetween) this.#receiver.end(trailers);
    else this.#break(notBase64());
  }

  abort(error: EdgeError): void {
    if (!this.#isBroken) this.#receiver.abort(error);
  }

  #break(error: EdgeError): void {
    this.#isBroken = true;
    this.#receiver.abort(error);
  }
}
