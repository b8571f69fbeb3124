import type { HeaderList } from "../../exchange.ts";
import { Recall } from "../../recall.ts";
import { garbage } from "./garbage.ts";

/** Different names that are remembered; workers use few, and one that invents names must not fill the memory. */
const MAX_NAMES = 500;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SPACE = 0x20;
const TAB = 0x09;

/** A block of more characters is not remembered. */
const MAX_REMEMBERED = 1024;

/** Reads field lines. Names that were seen before are not checked and lower-cased again, and blocks that were seen lately are not read again. */
export class FieldReader {
  readonly #names = new Map<string, string>();
  readonly #lately = new Recall<string, HeaderList>((text) => this.#read(text));

  /**
   * The fields in `text`, a line with CRLF each. Names become lower-case, values lose the white space around
   * them (RFC 9112, section 5). The same text may give the same list. Throws `upstream_garbage`.
   */
  read(text: string): HeaderList {
    return text.length > MAX_REMEMBERED ? this.#read(text) : this.#lately.of(text);
  }

  #read(text: string): HeaderList {
    const fields: string[] = [];
    let start = 0;
    while (start < text.length) {
      const end = text.indexOf("\r\n", start);
      const colon = text.indexOf(":", start);
      if (colon === -1 || colon > end) throw withoutColon(text.charCodeAt(start));
      fields.push(this.#name(text.slice(start, colon)), valueOf(text, colon + 1, end));
      start = end + 2;
    }
    return fields;
  }

  #name(raw: string): string {
    const known = this.#names.get(raw);
    if (known !== undefined) return known;
    if (!TOKEN.test(raw)) throw badName(raw);
    if (this.#names.size >= MAX_NAMES) return raw.toLowerCase();
    // A copy: a slice would keep the whole head that it was cut from.
    const copy = Buffer.from(raw, "latin1").toString("latin1");
    const name = copy.toLowerCase();
    this.#names.set(copy, name);
    return name;
  }
}

function valueOf(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === SPACE || code === TAB;
}

function withoutColon(first: number): Error {
  return garbage(isSpace(first) ? "a folded field line" : "a field line without a colon");
}

/** RFC 9112, section 5.1: no white space before the colon; section 5.2: a line that begins with white space is a folded one. */
function badName(name: string): Error {
  if (name === "") return garbage("a field without a name");
  if (isSpace(name.charCodeAt(0))) return garbage("a folded field line");
  if (isSpace(name.charCodeAt(name.length - 1))) return garbage("white space before a field's colon");
  return garbage("a field name with characters that no name has");
}
