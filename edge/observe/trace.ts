import type { HeaderList } from "../exchange.ts";
import { findAll } from "../headers.ts";

const TRACEPARENT = "traceparent";
const CLOUD_TRACE = "x-cloud-trace-context";

/** Fields that say which trace a request belongs to, the one that counts first. */
export const TRACE_FIELDS: readonly string[] = [TRACEPARENT, CLOUD_TRACE];

/** Which trace a request belongs to, in hexadecimal, and whether that is recorded. */
export interface Trace {
  readonly traceId: string;
  readonly spanId: string | undefined;
  readonly sampled: boolean;
}

/** version, trace-id, parent-id, trace-flags; later versions may add more (W3C Trace Context, section 3.2). */
const TRACEPARENT_VALUE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** TRACE_ID/SPAN_ID;o=OPTIONS, the span in decimal. */
const CLOUD_TRACE_VALUE = /^([0-9a-fA-F]{32})(?:\/([0-9]{1,20}))?(?:;o=([0-9]+))?$/;

const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
const MAX_SPAN = 2n ** 64n;

/** Reads `traceparent`, or else `x-cloud-trace-context`; undefined when neither is there in a form that can be read. */
export function readTrace(headers: HeaderList): Trace | undefined {
  return readTraceparent(single(headers, TRACEPARENT)) ?? readCloudTrace(single(headers, CLOUD_TRACE));
}

function readTraceparent(value: string | undefined): Trace | undefined {
  const [, version, traceId, spanId, flags = "", more] = TRACEPARENT_VALUE.exec(value ?? "") ?? [];
  // Version 255 is none; version 0 has nothing more to say; ids that are all zero are none.
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (traceId === undefined || traceId === NO_TRACE || spanId === undefined || spanId === NO_SPAN)
    return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function readCloudTrace(value: string | undefined): Trace | undefined {
  const [, traceId, span, options] = CLOUD_TRACE_VALUE.exec(value ?? "") ?? [];
  if (traceId === undefined || traceId === NO_TRACE) return undefined;
  const number = BigInt(span ?? 0);
  // Cloud Logging wants the span as Cloud Trace writes it today: 16 hexadecimal digits.
  const spanId = number === 0n || number >= MAX_SPAN ? undefined : number.toString(16).padStart(16, "0");
  return { traceId: traceId.toLowerCase(), spanId, sampled: options === "1" };
}

/** A field that comes twice says nothing. */
function single(headers: HeaderList, name: string): string | undefined {
  const values = findAll(headers, name);
  return values.length === 1 ? values[0] : undefined;
}
