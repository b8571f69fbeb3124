/**
 * Credit where bytes leave in another number than they came in, as base64 does: what came is given back in the measure in which
 * what was made of it has left.
 */
export class Credit {
  #came = 0;
  #made = 0;
  #left = 0;
  #given = 0;

  /** Bytes that wait for more before anything is made of them count with what is made next. */
  add(came: number, made: number): void {
    this.#came += came;
    this.#made += made;
  }

  /** Of what was made, so many bytes have left: answers how many of those that came may be given back. */
  give(left: number): number {
    this.#left += left;
    const all = this.#left >= this.#made;
    const due = all ? this.#came : Math.floor(this.#came * (this.#left / this.#made));
    const bytes = Math.max(0, due - this.#given);
    this.#given += bytes;
    if (all) this.#came = this.#made = this.#left = this.#given = 0;
    return bytes;
  }
}
