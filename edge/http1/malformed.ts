import { EdgeError } from "../errors.ts";
import type { Faults } from "../message/faults.ts";

/** The error for a request that is not valid HTTP/1.1; `why` finishes the sentence "the client sent …". */
export function malformed(why: string): EdgeError {
  return new EdgeError("bad_request", `the client sent ${why}`);
}

/** A request that cannot be read is the client's fault. */
export const CLIENT_FAULTS: Faults = {
  invalid: malformed,
  tooLarge: (why) => new EdgeError("head_too_large", `the client sent ${why}`),
};
