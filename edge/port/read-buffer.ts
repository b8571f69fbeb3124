/** Bytes one read can bring. */
const READ_BYTES = 65_536;

/** Where many connections are read to, one after the other: what one brings has been dealt with before the next is read. */
export class ReadBuffer {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  #view = this.bytes;

  /**
   * What a read of `length` bytes has brought, good until the next one. Messages are often as long as the last one, and making a
   * view is not free.
   */
  view(length: number): Buffer {
    if (this.#view.length !== length) this.#view = this.bytes.subarray(0, length);
    return this.#view;
  }
}
