import { EdgeError } from "../../edge/errors.ts";
import { CLIENT_FAULTS } from "../../edge/http1/malformed.ts";
import { RequestParser } from "../../edge/http1/request-parser.ts";
import { FieldReader } from "../../edge/message/fields.ts";
import { whole } from "./replies.ts";

/** Bytes that a head may have in these tests. */
export const HEAD_BYTES = 512;

/** What a parser made of some bytes, as lines: each request's head and what it says of its connection, its body, its end. */
export function transcript(text: string, cut: (bytes: Buffer) => Iterable<Buffer> = whole): string[] {
  const lines: string[] = [];
  let body = "";
  const parser = new RequestParser(HEAD_BYTES, new FieldReader(CLIENT_FAULTS), (chunk) => {
    body += chunk.toString("latin1");
  });
  const say = (): void => {
    const { request } = parser;
    if (request === undefined) return;
    const { head, isLast, awaitsContinue } = request;
    const marks = [
      head.protocol === "websocket" ? "WEBSOCKET" : "",
      isLast ? "LAST" : "",
      awaitsContinue ? "EXPECTS" : "",
      head.hasBody ? "BODY" : "",
    ];
    const words = [
      head.method,
      head.path,
      head.version,
      `@${head.authority}`,
      ...marks.filter((mark) => mark !== ""),
    ];
    lines.push(`${words.join(" ")} ${head.headers.join("|")}`.trimEnd());
  };
  const push = (piece: Buffer): void => {
    for (let at = 0; at < piece.length;) {
      const before = parser.request;
      at = parser.push(piece, at);
      if (before === undefined) say();
      if (!parser.isDone) continue;
      lines.push(`done ${body} ${parser.trailers.join("|")}`.trimEnd());
      body = "";
      parser.next();
    }
  };
  try {
    for (const piece of cut(Buffer.from(text, "latin1"))) push(piece);
    if (!parser.isBetween) lines.push(`cut short ${body}`.trimEnd());
  } catch (thrown) {
    if (!(thrown instanceof EdgeError)) throw thrown;
    lines.push(`${thrown.row.http} ${thrown.code}: ${thrown.message}`);
  }
  return lines;
}
