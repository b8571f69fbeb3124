import type { EdgeError, FailureCode } from "../errors.ts";
import { FAILURES } from "../errors.ts";
import type { Exchange } from "../exchange.ts";

/** One way for an exchange to end, and whose fault that was. */
export interface Outcome {
  readonly name: string;
  readonly fault: "none" | "client" | "edge" | "upstream";
}

/** gRPC's status codes (grpc/doc/statuscodes.md), by number. */
// prettier-ignore
const GRPC_STATUSES: readonly (readonly [name: string, fault: Outcome["fault"]])[] = [
  ["OK", "none"],                    ["CANCELLED", "client"],           ["UNKNOWN", "upstream"],
  ["INVALID_ARGUMENT", "client"],    ["DEADLINE_EXCEEDED", "upstream"], ["NOT_FOUND", "client"],
  ["ALREADY_EXISTS", "client"],      ["PERMISSION_DENIED", "client"],   ["RESOURCE_EXHAUSTED", "client"],
  ["FAILED_PRECONDITION", "client"], ["ABORTED", "client"],             ["OUT_OF_RANGE", "client"],
  ["UNIMPLEMENTED", "upstream"],     ["INTERNAL", "upstream"],          ["UNAVAILABLE", "upstream"],
  ["DATA_LOSS", "upstream"],         ["UNAUTHENTICATED", "client"],
];
const UNKNOWN = 2;

const FAILURE_CODES = Object.keys(FAILURES) as FailureCode[];

/** A WebSocket that was open, and the statuses by their first digit, then what has a number of its own. */
const BY_STATUS: readonly Outcome[] = [
  { name: "closed", fault: "none" },
  { name: "1xx", fault: "none" },
  { name: "2xx", fault: "none" },
  { name: "3xx", fault: "none" },
  { name: "4xx", fault: "client" },
  { name: "5xx", fault: "upstream" },
];
const FIRST_GRPC = BY_STATUS.length;
const FIRST_FAILURE = FIRST_GRPC + GRPC_STATUSES.length;

/**
 * All the ways for an exchange to end: what the worker answered, by status class or gRPC status, or the failure that ended it.
 * What counts them has a number for each, by its place here.
 */
export const OUTCOMES: readonly Outcome[] = [
  ...BY_STATUS,
  ...GRPC_STATUSES.map(([name, fault]) => ({ name, fault })),
  ...FAILURE_CODES.map((code) => ({ name: code, fault: FAILURES[code].side })),
];

const FAILURE_AT = Object.fromEntries(
  FAILURE_CODES.map((code, at) => [code, FIRST_FAILURE + at]),
) as Readonly<Record<FailureCode, number>>;

/** The place in OUTCOMES of how an exchange ended. */
export function outcomeOf(exchange: Exchange, error: EdgeError | undefined): number {
  if (error !== undefined) return FAILURE_AT[error.code];
  const { grpcStatus, status = 0, head } = exchange;
  if (grpcStatus !== undefined) return FIRST_GRPC + grpcStatus;
  if (head.protocol === "websocket" && status < 300) return 0;
  return Math.floor(status / 100);
}

/** What a worker's grpc-status stands for: clients take what is none for UNKNOWN. */
export function readGrpcStatus(value: string): number {
  // To Number, nothing is 0, and so would be OK.
  const status = /^[0-9]+$/.test(value) ? Number(value) : UNKNOWN;
  return status < GRPC_STATUSES.length ? status : UNKNOWN;
}

/** The name of a gRPC status. */
export function grpcStatusName(status: number): string {
  return GRPC_STATUSES[status]?.[0] ?? "UNKNOWN";
}
