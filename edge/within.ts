/** True when `work` is done within `ms` milliseconds. Rejects when `work` rejects within them. */
export async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const timeUp = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => timeUp.resolve(false), ms);
  return Promise.race([work.then(() => true), timeUp.promise]).finally(() => clearTimeout(timer));
}
