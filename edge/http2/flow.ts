/**
 * The receiving half of flow control (RFC 9113, section 5.2), as arithmetic: what the peer may still send, and what it gets back. A
 * window begins small, and grows once: what nobody takes should hold little, and what is taken should not wait.
 */
export class ReceiveWindow {
  readonly #most: number;
  #size: number;
  #open: number;
  #credit = 0;
  /** Bytes given back so far. */
  #given = 0;

  /** `size` is what the peer was told it may have under way, `most` what it may when so much has been taken. */
  constructor(size: number, most: number = size) {
    this.#size = size;
    this.#most = most;
    this.#open = size;
  }

  /** Counts bytes that came; false when there are more than the window allows. */
  take(bytes: number): boolean {
    this.#open -= bytes;
    return this.#open >= 0;
  }

  /** Gives bytes back. Answers what to tell the peer: nothing until it is half a window, so that it is worth a frame. */
  give(bytes: number): number {
    this.#credit += bytes;
    if (this.#credit * 2 < this.#size) return 0;
    let told = this.#credit;
    this.#credit = 0;
    this.#given += told;
    if (this.#given >= this.#most) {
      told += this.#most - this.#size;
      this.#size = this.#most;
    }
    this.#open += told;
    return told;
  }
}
