import { after } from "node:test";
import type { TestContext } from "node:test";

/** A scope for what a whole file of tests shares: it ends with the last test, the newest first. */
export function suiteScope(): Pick<TestContext, "after"> {
  const ends: (() => unknown)[] = [];
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });
  return { after: (end: () => unknown) => void ends.push(end) } as Pick<TestContext, "after">;
}
