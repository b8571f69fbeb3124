/** A small generator of numbers that are the same in each run (mulberry32). */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Bytes in pieces of up to 20. */
export function* pieces(bytes: Buffer, next: (below: number) => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + next(20));
    yield bytes.subarray(at, end);
    at = end;
  }
}
