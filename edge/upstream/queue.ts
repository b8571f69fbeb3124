/** Requests that wait for something to become free, in the order in which they came. */
export class Queue {
  readonly #waiting = new Set<() => void>();

  get length(): number {
    return this.#waiting.size;
  }

  /** Resolves when it is this one's turn, or once `leaving` is aborted, which gives up the place. */
  turn(leaving: AbortSignal | undefined): Promise<void> {
    if (leaving?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const goOn = (): void => {
        this.#waiting.delete(goOn);
        leaving?.removeEventListener("abort", goOn);
        resolve();
      };
      this.#waiting.add(goOn);
      leaving?.addEventListener("abort", goOn);
    });
  }

  /** It is the turn of so many. */
  next(count: number): void {
    let left = count;
    for (const goOn of this.#waiting) {
      if (left-- <= 0) return;
      goOn();
    }
  }
}
