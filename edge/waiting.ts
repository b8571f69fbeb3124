import type { RequestHead } from "./exchange.ts";
import type { Socket } from "node:net";

/** Bytes that a piece costs beside its own: a Buffer and its backing store, or a write that a socket has queued. */
const PIECE_BYTES = 256;

/** Bytes that a string costs beside its own. */
const TEXT_BYTES = 16;

/** Room that a second small piece is given, since more of them may follow. */
const ROOM_BYTES = 4096;

/**
 * A copy in memory of its own, for what may wait for long. `Buffer.from` takes a copy of up to 32 KiB from a slab of 64 KiB that it shares
 * with whatever is copied before and after it: each that stays keeps its slab, a byte as well as a kilobyte.
 */
export function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/**
 * Adds a copy of a chunk to pieces that wait, which are all made here. Small ones are put together: a window's worth of frames of a
 * byte each would otherwise take a hundred times the window.
 */
export function keep(pieces: Buffer[], chunk: Buffer): void {
  const at = pieces.length - 1;
  const last = pieces[at];
  if (last === undefined || chunk.length >= ROOM_BYTES) return void pieces.push(ownCopy(chunk));
  const length = last.length + chunk.length;
  if (length <= last.buffer.byteLength) {
    const longer = Buffer.from(last.buffer, 0, length);
    chunk.copy(longer, last.length);
    pieces[at] = longer;
    return;
  }
  const room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  chunk.copy(room);
  pieces.push(room.subarray(0, chunk.length));
}

/** Bytes of memory that such pieces take. */
export function memoryOf(pieces: readonly Buffer[] | undefined): number {
  if (pieces === undefined) return 0;
  let bytes = 0;
  for (const { buffer } of pieces) bytes += buffer.byteLength + PIECE_BYTES;
  return bytes;
}

/** Bytes of memory of a request's fields, counted as if it shared none of them with others. */
export function memoryOfText(fields: readonly string[]): number {
  return fields.reduce((sum, { length }) => sum + length + TEXT_BYTES, 0);
}

/** Bytes of memory of a request's head: what the client sent, and the text of it that goes to a worker. */
export function memoryOfHead(head: Pick<RequestHead, "headers" | "path" | "authority" | "memo">): number {
  const { headers, path, authority, memo } = head;
  return memoryOfText(headers) + memoryOfText([path, authority, memo?.toWorkerText ?? ""]);
}

/** Node's count of writes that wait in a socket; it has no public name, and may be missing. */
interface WithQueue {
  readonly _writableState?: { readonly bufferedRequestCount?: number };
}

/** Bytes of memory of what was written to a socket and has not been taken from it. */
export function waitingIn(socket: Socket): number {
  // One that is destroyed has let go of it, and still says how much it was.
  if (socket.destroyed || socket.writableLength === 0) return 0;
  const writes = (socket as WithQueue)._writableState?.bufferedRequestCount ?? 0;
  return socket.writableLength + (writes + 1) * PIECE_BYTES;
}
