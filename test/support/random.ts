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

/** A text with so many of `bits` put into it, each in place of up to two characters. */
export function bent(
  text: string,
  changes: number,
  bits: readonly string[],
  next: (below: number) => number,
): string {
  let out = text;
  for (let change = 0; change < changes; change++) {
    const at = next(out.length + 1);
    out = out.slice(0, at) + (bits[next(bits.length)] ?? "") + out.slice(at + next(3));
  }
  return out;
}
