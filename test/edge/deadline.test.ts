import assert from "node:assert/strict";
import { test } from "node:test";
import { formatGrpcTimeout, parseGrpcTimeout } from "../../edge/proxy/deadline.ts";

const parsed: [text: string, ms: number | undefined][] = [
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3000],
  ["250m", 250],
  ["1000u", 1],
  ["99999999n", 99.999999],
  ["0m", 0],
  ["123456789m", undefined],
  ["1s", undefined],
  ["m", undefined],
  ["1", undefined],
  ["-1S", undefined],
  ["1.5S", undefined],
  [" 1S", undefined],
  ["1S,1S", undefined],
  ["", undefined],
];
for (const [text, ms] of parsed) {
  test(`grpc-timeout ${JSON.stringify(text)} is ${ms === undefined ? "malformed" : `${ms} ms`}`, () => {
    assert.equal(parseGrpcTimeout(text), ms);
  });
}

const written: [ms: number, text: string][] = [
  [250.9, "250m"],
  [0.5, "500u"],
  [0, "0u"],
  [-5, "0u"],
  [99_999_999, "99999999m"],
  [100_000_000, "100000S"],
  [1e12, "277777H"],
];
for (const [ms, text] of written)
  test(`${ms} ms are written ${text}`, () => assert.equal(formatGrpcTimeout(ms), text));
