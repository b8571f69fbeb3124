import { EdgeError } from "../../edge/errors.ts";
import { FieldReader } from "../../edge/message/fields.ts";
import { KnownHeads } from "../../edge/message/known-heads.ts";
import { WORKER_FAULTS } from "../../edge/upstream/http1/garbage.ts";
import type { FinalHead } from "../../edge/upstream/http1/reply-parser.ts";
import { ReplyParser } from "../../edge/upstream/http1/reply-parser.ts";

/** Bytes that a head may have in these tests. */
export const HEAD_BYTES = 512;

/** What a parser made of some bytes, as lines: interim replies, head, body, how it stands, and what it left over. */
export function transcript(
  text: string,
  cut: (bytes: Buffer) => Iterable<Buffer> = whole,
  { known = new KnownHeads<FinalHead>(1), method = "GET", upgrade = false, thenEnd = false } = {},
): string[] {
  const lines: string[] = [];
  let body = "";
  const parser = new ReplyParser(HEAD_BYTES, new FieldReader(WORKER_FAULTS), known);
  const events = {
    inform: (status: number, headers: readonly string[]) => void lines.push(`${status} ${headers.join("|")}`),
    head: (status: number, headers: readonly string[], end: boolean) =>
      void lines.push(`${status}${end ? " END" : ""} ${headers.join("|")}`),
    data: (chunk: Buffer) => void (body += chunk.toString("latin1")),
  };
  parser.begin({ method, upgrade }, events);
  let rest = 0;
  try {
    for (const piece of cut(Buffer.from(text, "latin1"))) rest += piece.length - parser.push(piece);
    if (thenEnd && !parser.finish()) lines.push("cut short");
  } catch (thrown) {
    if (!(thrown instanceof EdgeError)) throw thrown;
    lines.push(`${thrown.code}: ${thrown.message}`);
  }
  if (body !== "") lines.push(`body ${body}`);
  if (parser.isDone) lines.push(`done ${parser.trailers.join("|")}`);
  if (parser.isUpgraded) lines.push(`upgraded ${parser.upgradeHeaders.join("|")}`);
  if (rest > 0) lines.push(`rest ${rest}`);
  return lines.map((line) => line.trimEnd());
}

export function whole(bytes: Buffer): Buffer[] {
  return [bytes];
}

export function* byteByByte(bytes: Buffer): Generator<Buffer> {
  for (let i = 0; i < bytes.length; i++) yield bytes.subarray(i, i + 1);
}
