/**
 * The one with the fewest open connections; among equals the first after `last`, so that connections which close at
 * once go round as well. Undefined when there is none. Pure.
 */
export function fewestConnections<T extends { readonly connections: number }>(
  candidates: readonly T[],
  last: T | undefined,
): T | undefined {
  const start = last === undefined ? 0 : candidates.indexOf(last) + 1;
  const inTurn = [...candidates.slice(start), ...candidates.slice(0, start)];
  return inTurn.reduce<T | undefined>(
    (best, each) => (best === undefined || each.connections < best.connections ? each : best),
    undefined,
  );
}
