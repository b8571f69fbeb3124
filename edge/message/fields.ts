import type { HeaderList } from "../exchange.ts";
import { Recall } from "../recall.ts";
import type { Faults } from "./faults.ts";
import { TOKEN } from "./token.ts";

/** Different names that are remembered; a peer uses few, and one that invents names must not fill the memory. */
const MAX_NAMES = 500;

const SPACE = 0x20;
const TAB = 0x09;

/** A block of more characters is not remembered. */
const MAX_REMEMBERED = 1024;

/** Reads field lines. Names that were seen before are not checked and lower-cased again, and blocks that were seen lately are not read again. */
export class FieldReader {
  readonly #names = new Map<string, string>();
  readonly #lately = new Recall<string, HeaderList>((text) => this.#read(text));
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /**
   * The fields in `text`, a line with CRLF each. Names become lower-case, values lose the white space around
   * them (RFC 9112, section 5). The same text may give the same list. Throws for what is no field line.
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
      if (colon === -1 || colon > end) throw this.#faults.invalid(withoutColon(text.charCodeAt(start)));
      fields.push(this.#name(text.slice(start, colon)), valueOf(text, colon + 1, end));
      start = end + 2;
    }
    return fields;
  }

  #name(raw: string): string {
    const known = this.#names.get(raw);
    if (known !== undefined) return known;
    if (!TOKEN.test(raw)) throw this.#faults.invalid(badName(raw));
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

function withoutColon(first: number): string {
  return isSpace(first) ? "a folded field line" : "a field line without a colon";
}

/** RFC 9112, section 5.1: no white space before the colon; section 5.2: a line that begins with white space is a folded one. */
function badName(name: string): string {
  if (name === "") return "a field without a name";
  if (isSpace(name.charCodeAt(0))) return "a folded field line";
  if (isSpace(name.charCodeAt(name.length - 1))) return "white space before a field's colon";
  return "a field name with characters that no name has";
}
