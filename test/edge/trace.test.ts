import assert from "node:assert/strict";
import { test } from "node:test";
import type { Trace } from "../../edge/observe/trace.ts";
import { readTrace } from "../../edge/observe/trace.ts";

const ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const SEEN: Trace = { traceId: ID, spanId: SPAN, sampled: true };

const cases: [why: string, headers: string[], want: Trace | undefined][] = [
  ["nothing", [], undefined],
  ["a traceparent", ["traceparent", `00-${ID}-${SPAN}-01`], SEEN],
  ["one that is not recorded", ["traceparent", `00-${ID}-${SPAN}-00`], { ...SEEN, sampled: false }],
  ["further flags", ["traceparent", `00-${ID}-${SPAN}-03`], SEEN],
  ["a later version", ["traceparent", `01-${ID}-${SPAN}-01-more`], SEEN],
  ["version 0 with more", ["traceparent", `00-${ID}-${SPAN}-01-more`], undefined],
  ["version 255", ["traceparent", `ff-${ID}-${SPAN}-01`], undefined],
  ["capitals", ["traceparent", `00-${ID.toUpperCase()}-${SPAN}-01`], undefined],
  ["a trace of zeros", ["traceparent", `00-${"0".repeat(32)}-${SPAN}-01`], undefined],
  ["a span of zeros", ["traceparent", `00-${ID}-${"0".repeat(16)}-01`], undefined],
  ["a short one", ["traceparent", `00-${ID}-${SPAN}`], undefined],
  ["two", ["traceparent", `00-${ID}-${SPAN}-01`, "traceparent", `00-${ID}-${SPAN}-01`], undefined],
  ["Google's", ["x-cloud-trace-context", `${ID}/67667974448284343;o=1`], SEEN],
  ["Google's in capitals", ["x-cloud-trace-context", `${ID.toUpperCase()}/67667974448284343;o=1`], SEEN],
  [
    "Google's, not recorded",
    ["x-cloud-trace-context", `${ID}/67667974448284343;o=0`],
    { ...SEEN, sampled: false },
  ],
  [
    "Google's, a trace alone",
    ["x-cloud-trace-context", ID],
    { traceId: ID, spanId: undefined, sampled: false },
  ],
  [
    "Google's, no span",
    ["x-cloud-trace-context", `${ID}/0;o=1`],
    { traceId: ID, spanId: undefined, sampled: true },
  ],
  [
    "Google's, a span beyond 64 bits",
    ["x-cloud-trace-context", `${ID}/99999999999999999999`],
    { traceId: ID, spanId: undefined, sampled: false },
  ],
  ["Google's, no trace", ["x-cloud-trace-context", `${"0".repeat(32)}/1`], undefined],
  ["Google's, malformed", ["x-cloud-trace-context", "abc/1;o=1"], undefined],
  [
    "both: the standard one counts",
    ["x-cloud-trace-context", `${"1".repeat(32)}/1;o=0`, "traceparent", `00-${ID}-${SPAN}-01`],
    SEEN,
  ],
  [
    "both, the standard one malformed",
    ["traceparent", "00-x", "x-cloud-trace-context", `${ID}/67667974448284343;o=1`],
    SEEN,
  ],
];
for (const [why, headers, want] of cases)
  test(`trace: ${why}`, () => assert.deepEqual(readTrace(headers), want));
