// Long versions of what the tests do in short: `npm run chaos`, some minutes.
import { test } from "node:test";
import { swapUnderLoad } from "../support/swapping.ts";

/** Of each kind. */
const REQUESTS = Number(process.env["CHAOS_REQUESTS"] ?? 50_000);

test(`${REQUESTS} requests of each kind across ten exchanges of each worker: none is lost`, async (t) => {
  await swapUnderLoad(t, REQUESTS, 10);
});
