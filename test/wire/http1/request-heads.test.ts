import assert from "node:assert/strict";
import { test } from "node:test";
import { requestHead } from "../../../edge/upstream/http1/request-head.ts";

test("writes a request head", () => {
  assert.equal(
    requestHead("POST", "/a?b=%20", ["host", "a:80", "x-empty", "", "x-name", "Zo\xc3\xab\t!"]),
    "POST /a?b=%20 HTTP/1.1\r\nhost: a:80\r\nx-empty: \r\nx-name: Zo\xc3\xab\t!\r\n\r\n",
  );
  assert.equal(requestHead("OPTIONS", "*", []), "OPTIONS * HTTP/1.1\r\n\r\n");
});

const unsafe: [why: string, method: string, path: string, headers: string[]][] = [
  ["a method with a space", "GET /", "/", []],
  ["a method with a CR", "GET\r", "/", []],
  ["an empty method", "", "/", []],
  ["a path with a space", "GET", "/a b", []],
  ["a path with a line feed", "GET", "/a\nb", []],
  ["a path with a second request", "GET", "/ HTTP/1.1\r\n\r\nGET /b", []],
  ["a path with a NUL", "GET", "/\0", []],
  ["a path with DEL", "GET", "/\x7f", []],
  ["a path beyond one byte a character", "GET", "/\u0120x", []],
  ["an empty path", "GET", "", []],
  ["a value with CR", "GET", "/", ["a", "b\rc"]],
  ["a value with LF", "GET", "/", ["a", "b\nc: d"]],
  ["a value that ends in CRLF", "GET", "/", ["a", "b\r\n"]],
  ["a value with NUL", "GET", "/", ["a", "\0"]],
  ["a value whose low byte is a line feed", "GET", "/", ["a", "\u010ab: c"]],
  ["a name with a colon", "GET", "/", ["a:", "b"]],
  ["a name with a space", "GET", "/", ["a b", "c"]],
  ["a name with a line feed", "GET", "/", ["a\nb", "c"]],
  ["an empty name", "GET", "/", ["", "c"]],
  ["a pseudo-header field", "GET", "/", [":path", "/"]],
  ["a name beyond ASCII", "GET", "/", ["\xe4", "c"]],
];

for (const [why, method, path, headers] of unsafe) {
  test(`refuses to write ${why}`, () => {
    assert.throws(() => requestHead(method, path, headers), { code: "bad_request" });
  });
}
