import assert from "node:assert/strict";
import { test } from "node:test";
import { sniff } from "../../edge/port/sniff.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

for (let length = 0; length <= PREFACE.length; length++) {
  const want = length < 14 ? "more" : "http2";
  test(`${length} bytes of the preface are ${want}`, () =>
    assert.equal(sniff(Buffer.from(PREFACE.slice(0, length))), want));
}

for (const text of [
  "G",
  "GET / HTTP/1.1\r\n",
  "PUT / HTTP/1.1",
  "PRX",
  "PRI * HTTP/1.1\r\n",
  "\r\nGET /",
  "\x16\x03\x01",
]) {
  test(`${JSON.stringify(text)} is http1`, () => assert.equal(sniff(Buffer.from(text, "latin1")), "http1"));
}

for (const text of ["P", "PR", "PRI "])
  test(`${JSON.stringify(text)} needs more`, () => assert.equal(sniff(Buffer.from(text)), "more"));
