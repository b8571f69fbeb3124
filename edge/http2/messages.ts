import type { HeaderList } from "../exchange.ts";
import { StreamError } from "./frame.ts";
import type { Head } from "./header-blocks.ts";
import type { Stream } from "./stream.ts";

/** Interim replies before the final one: they go to the client whether or not it reads, so more is a worker gone wrong. */
const MAX_INTERIM = 100;

const NONE: HeaderList = [];

/** The head of a request on a new stream (server role). Throws a StreamError for a malformed one (RFC 9113, section 8.1.1). */
export function takeRequest(stream: Stream, head: Head, end: boolean): void {
  promise(stream, head, end);
  if (end) stream.onEnd(NONE);
}

/** DATA of `bytes` bytes, without padding. */
export function countData(stream: Stream, bytes: number, ends: boolean): void {
  if (stream.promised < 0) return;
  if (bytes > stream.promised || (ends && bytes < stream.promised))
    refuse(stream, "content-length does not fit");
  stream.promised -= bytes;
}

/** HEADERS on a stream that had some: trailers (RFC 9113, section 8.1). */
export function takeTrailers(stream: Stream, head: Head, end: boolean): void {
  const fault = end ? head.trailersFault : "trailers without END_STREAM";
  if (fault !== undefined || head.tooLarge) refuse(stream, fault ?? "trailers too large");
  countData(stream, 0, true);
  stream.onEnd(head.fields, head.neverIndexed);
}

/** A reply's head, interim or final (client role; RFC 9113, section 8.1). */
export function takeReply(stream: Stream, head: Head, end: boolean): void {
  const fault = head.tooLarge ? "the reply head is too large" : head.replyFault;
  if (fault !== undefined) refuse(stream, fault);
  const interim = head.fields[1]?.startsWith("1") === true;
  if (interim && end) refuse(stream, "an interim reply with END_STREAM");
  if (interim && ++stream.interim > MAX_INTERIM) refuse(stream, `more than ${MAX_INTERIM} interim replies`);
  if (!interim) promise(stream, head, end);
  stream.headSeen = !interim;
  stream.events?.replied?.(head, end);
  if (end) stream.onEnd(NONE);
}

/** RFC 9113, section 8.1.1: a content-length that does not fit what follows is a malformed message. */
function promise(stream: Stream, head: Head, end: boolean): void {
  const length = head.contentLength;
  if (Number.isNaN(length)) refuse(stream, "content-length is no number, or two");
  stream.promised = length;
  if (end && length > 0) refuse(stream, "content-length without content");
}

function refuse(stream: Stream, why: string): never {
  throw new StreamError(stream.id, "PROTOCOL_ERROR", why);
}
