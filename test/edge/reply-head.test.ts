import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "../../edge/exchange.ts";
import { replyStart } from "../../edge/http1/reply-head.ts";

const DATED = ["content-length", "4", "date", "Mon, 23 Nov 2026 10:00:00 GMT", "trailer", "x-sum"];
const CHUNKED = ["date", "Mon, 23 Nov 2026 10:00:00 GMT", "trailer", "x-sum"];

const ways: [status: number, method: string, version: "1.0" | "1.1", end: boolean][] = [
  [200, "GET", "1.1", false],
  [200, "HEAD", "1.1", false],
  [200, "GET", "1.0", false],
  [200, "GET", "1.1", true],
  [304, "GET", "1.1", false],
  [204, "GET", "1.1", true],
  [404, "POST", "1.1", false],
];

function headOf(method: string, version: "1.0" | "1.1"): RequestHead {
  return { method, version } as RequestHead;
}

for (const fields of [DATED, CHUNKED]) {
  for (const before of ways) {
    for (const [status, method, version, end] of ways) {
      test(`${fields[0]}: ${status} to ${method} ${version}, end ${end}, is the same behind ${before.join(" ")}`, () => {
        replyStart(before[0], fields, headOf(before[1], before[2]), before[3]);
        const again = replyStart(status, fields, headOf(method, version), end);
        // Nothing is remembered of a list that has not been seen.
        assert.deepEqual(again, replyStart(status, Array.from(fields), headOf(method, version), end));
      });
    }
  }
}

test("a head that is the same again is not put together again", () => {
  const start = replyStart(200, DATED, headOf("GET", "1.1"), false);
  assert.equal(replyStart(200, DATED, headOf("GET", "1.1"), false), start);
});

test("a head that tells the time is", () => {
  const fields = ["content-length", "4"];
  const start = replyStart(200, fields, headOf("GET", "1.1"), false);
  assert.notEqual(replyStart(200, fields, headOf("GET", "1.1"), false), start);
});
