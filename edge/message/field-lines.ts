import type { HeaderList } from "../exchange.ts";
import { TOKEN } from "./token.ts";

/**
 * What must not be in a value. Not only CR, LF and NUL: a character beyond one byte would be cut to its last one, and
 * U+010A become a line feed.
 */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * One field line with its CRLF, in latin1 (RFC 9112, section 5). Throws what `unsafe` makes of a field that could be read as
 * more than one.
 */
export function fieldLine(name: string, value: string, unsafe: (why: string) => Error): string {
  if (UNSAFE.test(value)) throw unsafe("a field value holds what no value may");
  if (!TOKEN.test(name)) throw unsafe("a field name is no token");
  return `${name}: ${value}\r\n`;
}

/** All of them, like `fieldLine`. */
export function fieldLines(fields: HeaderList, unsafe: (why: string) => Error): string {
  let text = "";
  for (let i = 0; i < fields.length; i += 2) text += fieldLine(fields[i] ?? "", fields[i + 1] ?? "", unsafe);
  return text;
}
