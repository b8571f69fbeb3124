import type { Socket } from "node:net";
import { writeBetween } from "../port/copies.ts";

/** Bytes up to which a piece of a body becomes text: one copy more, and one buffer less to make and to write. */
const SMALL_BYTES = 4096;
/** Characters of text that are sent without waiting for more: what node writes of a string without a buffer of its own. */
const FULL_TEXT = 16_384;

function flush(output: Output): void {
  output.flush();
}

/**
 * What goes out on one connection. What is small is gathered as text until the end of this turn of the event loop, so that a
 * head and what there is of its body leave in one write. Bytes are never kept beyond the call that brings them.
 */
export class Output {
  readonly #socket: Socket;
  readonly #sent: (bytes: number) => void;
  /** The head of a reply, without the empty line that ends it. */
  #head = "";
  #text = "";
  /** Bytes of bodies in the text, and those that the socket has taken but does not get rid of. */
  #held = 0;
  #stuck = 0;
  #scheduled = false;

  /** `sent` hears how many bytes of a body have left. */
  constructor(socket: Socket, sent: (bytes: number) => void) {
    this.#socket = socket;
    this.#sent = sent;
  }

  /** True when the client does not read what it has been sent; the socket's 'drain' then tells when it has. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** Sends the head of a reply. */
  head(text: string): void {
    // An interim reply comes before it.
    if (this.#text !== "") this.flush();
    this.#head = text;
    this.#schedule();
  }

  /** Adds that no reply follows. Answers false when the head has left already. */
  sayClose(): boolean {
    if (this.#head === "") return false;
    this.#head += "connection: close\r\n";
    return true;
  }

  /** Takes back a head that has not left, with all that was to follow it. Answers false when it has left already. */
  takeBack(): boolean {
    if (this.#head === "") return false;
    this.#head = this.#text = "";
    this.#held = 0;
    return true;
  }

  /** Sends an interim reply, or the end of a body. */
  text(text: string): void {
    this.#text += text;
    this.#schedule();
  }

  /** Sends a piece of a body between the two lines of its chunk, if it has any. */
  body(bytes: Buffer, before: string, after: string): void {
    this.#held += bytes.length;
    if (bytes.length > SMALL_BYTES) return this.#gather(bytes, before, after);
    this.#text += before + bytes.latin1Slice(0, bytes.length) + after;
    if (this.#text.length > FULL_TEXT) this.flush();
    else this.#schedule();
  }

  flush(): void {
    this.#scheduled = false;
    const text = this.#takeText();
    if (text !== "" && this.#mayWrite) this.#written(this.#socket.write(text, "latin1"));
  }

  /** The socket has got rid of everything. */
  drained(): void {
    const bytes = this.#stuck;
    this.#stuck = 0;
    if (bytes > 0) this.#sent(bytes);
  }

  /** The piece is its sender's again after the call, so it is copied; what waits goes into the same buffer. */
  #gather(bytes: Buffer, before: string, after: string): void {
    const text = this.#takeText() + before;
    if (this.#mayWrite) this.#written(writeBetween(this.#socket, text, bytes, after));
  }

  #takeText(): string {
    const text = this.#head === "" ? this.#text : `${this.#head}\r\n${this.#text}`;
    this.#head = this.#text = "";
    return text;
  }

  get #mayWrite(): boolean {
    return !this.#socket.destroyed && !this.#socket.writableEnded;
  }

  #written(goesOn: boolean): void {
    const bytes = this.#held;
    this.#held = 0;
    if (!goesOn) this.#stuck += bytes;
    else if (bytes > 0) this.#sent(bytes);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(flush, this);
  }
}
