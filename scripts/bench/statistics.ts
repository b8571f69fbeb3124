/** The middle value; of an even number of values the mean of the two in the middle. NaN when there are none. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

/** The smallest value that `share` (0 to 1) of all values do not exceed. NaN when there are none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** A sorted copy; a typed array sorts by value. */
export function ascending(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** The list in another order each round: everybody has each place, and where their number is even stands behind everybody else, as often (Williams, 1949). */
export function inTurn<T>(list: readonly T[], round: number): T[] {
  const count = list.length;
  return list.flatMap((_, at) => {
    const zigzag = at % 2 === 0 ? count - at / 2 : (at + 1) / 2;
    const index = (zigzag + round) % count;
    return list.slice(index, index + 1);
  });
}

/** NaN when there are no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

export interface Line {
  readonly slope: number;
  /** Standard error of the slope. */
  readonly error: number;
}

/** The line through points with the least squares. NaN for fewer than three points. */
export function line(points: readonly (readonly [x: number, y: number])[]): Line {
  if (points.length < 3) return { slope: Number.NaN, error: Number.NaN };
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  const spread = mean(points.map(([x]) => (x - meanX) ** 2));
  const slope = mean(points.map(([x, y]) => (x - meanX) * (y - meanY))) / spread;
  const rest = mean(points.map(([x, y]) => (y - meanY - slope * (x - meanX)) ** 2));
  return { slope, error: Math.sqrt(rest / spread / (points.length - 2)) };
}
