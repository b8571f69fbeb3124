// Long versions of what the tests do in short: `npm run chaos`, some minutes.
import { test } from "node:test";
import { swapUnderLoad } from "../support/swapping.ts";

test("100,000 requests of each kind across ten exchanges of each worker: none is lost", async (t) => {
  await swapUnderLoad(t, 100_000, 10);
});
