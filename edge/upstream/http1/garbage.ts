import { EdgeError } from "../../errors.ts";

/** The error for a reply that is not valid HTTP/1.1; `why` finishes the sentence "the worker sent …". */
export function garbage(why: string): EdgeError {
  return new EdgeError("upstream_garbage", `the worker sent ${why}`);
}
