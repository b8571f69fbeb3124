/** The receiving half of flow control (RFC 9113, section 5.2), as arithmetic: what the peer may still send, and what it gets back. */
export class ReceiveWindow {
  readonly #size: number;
  #open: number;
  #credit = 0;

  /** `size` is what the peer was told it may have under way. */
  constructor(size: number) {
    this.#size = size;
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
    const told = this.#credit;
    this.#open += told;
    this.#credit = 0;
    return told;
  }
}
