import type { LimitName } from "../limits.ts";

/** Frame types (RFC 9113, section 6). */
export const TYPE = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** Flags; which frame has which is in RFC 9113, section 6. */
export const FLAG = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

/** Settings (RFC 9113, section 6.5.2; RFC 8441, section 3). */
export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  ENABLE_CONNECT_PROTOCOL: 8,
} as const;

/** Error codes (RFC 9113, section 7). */
export const CODE = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
} as const;

export type ErrorCode = keyof typeof CODE;

/** Every frame begins with 9 bytes (RFC 9113, section 4.1). */
export const HEAD_BYTES = 9;
/** What a peer may send before it is told otherwise, and the least that may be told (RFC 9113, section 4.2). */
export const DEFAULT_FRAME_BYTES = 16_384;
export const LARGEST_FRAME_BYTES = 16_777_215;
/** RFC 9113, section 6.9.1. */
export const LARGEST_WINDOW = 2_147_483_647;
/** Bytes of each direction's dynamic table before anything is said (RFC 9113, section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;
/** What both windows are before anything is said (RFC 9113, section 6.9.2). */
export const DEFAULT_WINDOW = 65_535;

/** A connection error: GOAWAY with this code, and the end (RFC 9113, section 5.4.1). */
export class ConnectionError extends Error {
  readonly code: ErrorCode;
  readonly limit: LimitName | undefined;

  /** `limit` is the one that was exceeded, if it was one. */
  constructor(code: ErrorCode, message: string, limit?: LimitName) {
    super(message);
    this.code = code;
    this.limit = limit;
  }
}

/** A stream error: RST_STREAM with this code (RFC 9113, section 5.4.2). */
export class StreamError extends Error {
  readonly stream: number;
  readonly code: ErrorCode;
  readonly limit: LimitName | undefined;

  /** `limit` is the one that was exceeded, if it was one. */
  constructor(stream: number, code: ErrorCode, message: string, limit?: LimitName) {
    super(message);
    this.stream = stream;
    this.code = code;
    this.limit = limit;
  }
}

/** Writes a frame's head; answers where its payload begins. */
export function writeHead(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  writeUInt32(out, at + 5, stream);
  return at + HEAD_BYTES;
}

/** Big-endian, in place; answers where it ends. */
export function writeUInt32(out: Buffer, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** A 31-bit number: the highest bit is reserved, and ignored (RFC 9113, section 4.1). */
export function readUInt31(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] ?? 0) & 0x7f) * 0x1_00_00_00 +
    ((bytes[at + 1] ?? 0) << 16) +
    ((bytes[at + 2] ?? 0) << 8) +
    (bytes[at + 3] ?? 0)
  );
}

/** A frame as it lies in the bytes that were read. Valid during the call it is handed to. */
export interface Frame {
  type: number;
  flags: number;
  stream: number;
  /** The payload, padding included. */
  start: number;
  end: number;
}

/** A payload without its padding. Throws PROTOCOL_ERROR when the padding is longer than the payload (RFC 9113, section 6.1). */
export function withoutPadding(bytes: Buffer, frame: Frame): { start: number; end: number } {
  if ((frame.flags & FLAG.PADDED) === 0) return frame;
  const padding = bytes[frame.start] ?? 0;
  const start = frame.start + 1;
  const end = frame.end - padding;
  if (frame.start === frame.end || start > end)
    throw new ConnectionError("PROTOCOL_ERROR", "more padding than payload");
  return { start, end };
}
