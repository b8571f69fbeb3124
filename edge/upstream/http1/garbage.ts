import { EdgeError } from "../../errors.ts";
import type { Faults } from "../../message/faults.ts";

/** The error for a reply that is not valid HTTP/1.1; `why` finishes the sentence "the worker sent …". */
export function garbage(why: string): EdgeError {
  return new EdgeError("upstream_garbage", `the worker sent ${why}`);
}

/** A reply that cannot be read is the worker's fault, whatever is wrong with it. */
export const WORKER_FAULTS: Faults = { invalid: garbage, tooLarge: garbage };
