import type { EdgeError } from "../errors.ts";
import { httpRefusal } from "../refusal.ts";
import type { Output } from "./output.ts";
import { replyHead } from "./reply-head.ts";

/** Answers in place of a worker, on a connection that no other reply follows on. */
export function refuse(output: Output, error: EdgeError): void {
  const { status, headers, body } = httpRefusal(error);
  output.head(replyHead(status, headers, body.length, ""));
  output.sayClose();
  output.body(body, "", "");
  output.flush();
}
