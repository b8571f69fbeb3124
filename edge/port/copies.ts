import type { Socket } from "node:net";

/** Up to so many bytes a string is the cheaper copy: it needs no Buffer, and leaves from the stack. */
const SHORT_BYTES = 1024;

/** From so many bytes on copies are made in the same memory again and again. A fifth of it: one copy at most that waits for a peer keeps more than it needs. */
const LARGE_BYTES = 16_384;

/** The memory for that: what one read brings, and the text around it. */
const MEMORY_BYTES = 65_536 + LARGE_BYTES;

let memory: Buffer | undefined;

/** Writes a copy of a chunk whose memory is its sender's again after the call. Answers what `socket.write` does. */
export function writeCopy(socket: Socket, chunk: Buffer): boolean {
  if (chunk.length > SHORT_BYTES) return writeBetween(socket, "", chunk, "");
  return socket.write(chunk.latin1Slice(0, chunk.length), "latin1");
}

/** As writeCopy, in one piece with two texts (latin1). */
export function writeBetween(socket: Socket, before: string, chunk: Buffer, after: string): boolean {
  const copy = memoryFor(socket, before.length + chunk.length + after.length);
  if (before !== "") copy.latin1Write(before, 0, before.length);
  chunk.copy(copy, before.length);
  if (after !== "") copy.latin1Write(after, before.length + chunk.length, after.length);
  const goesOn = socket.write(copy);
  // What the kernel has not taken at once is the socket's to keep.
  if (copy.buffer === memory?.buffer && socket.writableLength > 0) memory = undefined;
  return goesOn;
}

/** Where a copy is made. What may wait for long must not keep a slab that others share (see ownCopy). */
function memoryFor(socket: Socket, length: number): Buffer {
  if (socket.writableLength > 0) return Buffer.allocUnsafeSlow(length);
  // TLS encrypts later, so it never gives its memory back at once.
  const isReusable = length >= LARGE_BYTES && length <= MEMORY_BYTES && !("encrypted" in socket);
  if (!isReusable) return Buffer.allocUnsafe(length);
  memory ??= Buffer.allocUnsafeSlow(MEMORY_BYTES);
  return memory.subarray(0, length);
}
