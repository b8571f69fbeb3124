/** Milliseconds between two looks. */
const LOOK_MS = 500;

/**
 * Calls back once when npm, which has started this process, is gone: npm passes Ctrl-C on, but whoever signals npm alone ends npm alone.
 * Started by anything else, nobody is waited for: a parent may well leave what it started.
 */
export function whenOrphaned(act: () => void, env: NodeJS.ProcessEnv = process.env): void {
  if (env["npm_lifecycle_event"] === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    act();
  }, LOOK_MS);
  timer.unref();
}
