import type { Frame } from "./frame.ts";
import { ConnectionError, StreamError, readUInt31 } from "./frame.ts";

/*
 * What the frames hold that carry no message. What is wrong with them ends the connection, and for PRIORITY its stream.
 */

/** RFC 9113, section 6.3. What it says is deprecated. */
export function checkPriority({ stream, start, end }: Frame): void {
  if (stream === 0) throw new ConnectionError("PROTOCOL_ERROR", "PRIORITY on stream 0");
  if (end - start !== 5) throw new StreamError(stream, "FRAME_SIZE_ERROR", "PRIORITY must have 5 bytes");
}

/** The error code of a RST_STREAM (RFC 9113, section 6.4). */
export function readReset(bytes: Buffer, { start, end }: Frame): number {
  if (end - start !== 4) throw new ConnectionError("FRAME_SIZE_ERROR", "RST_STREAM must have 4 bytes");
  return bytes.readUInt32BE(start);
}

/** RFC 9113, section 6.7. */
export function checkPing({ stream, start, end }: Frame): void {
  if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "PING on a stream");
  if (end - start !== 8) throw new ConnectionError("FRAME_SIZE_ERROR", "PING must have 8 bytes");
}

/** The last stream id that a GOAWAY leaves to be processed (RFC 9113, section 6.8). */
export function readGoaway(bytes: Buffer, { stream, start, end }: Frame): number {
  if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "GOAWAY on a stream");
  if (end - start < 8) throw new ConnectionError("FRAME_SIZE_ERROR", "GOAWAY must have 8 bytes");
  return readUInt31(bytes, start);
}

/** The bytes by which a WINDOW_UPDATE widens a window (RFC 9113, section 6.9). */
export function readWindowUpdate(bytes: Buffer, { start, end }: Frame): number {
  if (end - start !== 4) throw new ConnectionError("FRAME_SIZE_ERROR", "WINDOW_UPDATE must have 4 bytes");
  return readUInt31(bytes, start);
}
