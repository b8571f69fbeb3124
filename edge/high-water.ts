/** Bytes of one direction that may be under way through the edge before their sender is held back. */
export const HIGH_WATER = 128 * 1024;

/** True when a sender that was held back may go on: there were `before` bytes under way, and there are `now`. */
export function mayGoOn(before: number, now: number): boolean {
  return before > HIGH_WATER && now <= HIGH_WATER;
}
