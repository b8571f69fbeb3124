import type { Frame } from "./frame.ts";
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  FLAG,
  LARGEST_FRAME_BYTES,
  LARGEST_WINDOW,
  SETTING,
} from "./frame.ts";

/** What a peer's SETTINGS change for us; what is not there stays as it was. */
export interface PeerSettings {
  /** Each that was said, in order: the smallest matters, too (RFC 7541, section 4.2). */
  readonly tableBytes: number[];
  maxStreams?: number;
  windowBytes?: number;
  /** Bytes of the largest head, counted as in RFC 9113, section 6.5.2. */
  headBytes?: number;
}

/**
 * Reads a SETTINGS frame; undefined for an ACK. MAX_FRAME_SIZE is checked and not used: frames of ours stay at the size that
 * every peer takes. A peer that `mayBePushed`, which is a client, may say that it wants that. Throws a ConnectionError (RFC 9113,
 * sections 6.5 and 6.5.2).
 */
export function readSettings(
  bytes: Buffer,
  { flags, stream, start, end }: Frame,
  mayBePushed: boolean,
): PeerSettings | undefined {
  if (stream !== 0) throw new ConnectionError("PROTOCOL_ERROR", "SETTINGS on a stream");
  const isAck = (flags & FLAG.ACK) !== 0;
  if (isAck ? start !== end : (end - start) % 6 !== 0) {
    throw new ConnectionError("FRAME_SIZE_ERROR", "SETTINGS of a wrong length");
  }
  if (isAck) return undefined;
  const settings: PeerSettings = { tableBytes: [] };
  for (let at = start; at < end; at += 6)
    readSetting(settings, bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2), mayBePushed);
  return settings;
}

function readSetting(settings: PeerSettings, id: number, value: number, mayBePushed: boolean): void {
  switch (id) {
    case SETTING.HEADER_TABLE_SIZE:
      settings.tableBytes.push(value);
      return;
    case SETTING.ENABLE_PUSH:
      if (value > (mayBePushed ? 1 : 0))
        throw new ConnectionError("PROTOCOL_ERROR", "ENABLE_PUSH out of range");
      return;
    case SETTING.MAX_CONCURRENT_STREAMS:
      settings.maxStreams = value;
      return;
    case SETTING.INITIAL_WINDOW_SIZE:
      if (value > LARGEST_WINDOW)
        throw new ConnectionError("FLOW_CONTROL_ERROR", "INITIAL_WINDOW_SIZE out of range");
      settings.windowBytes = value;
      return;
    case SETTING.MAX_FRAME_SIZE:
      if (value >= DEFAULT_FRAME_BYTES && value <= LARGEST_FRAME_BYTES) return;
      throw new ConnectionError("PROTOCOL_ERROR", "MAX_FRAME_SIZE out of range");
    case SETTING.MAX_HEADER_LIST_SIZE:
      settings.headBytes = value;
      return;
    default:
    // RFC 9113, section 6.5.2: what is unknown is ignored.
  }
}
