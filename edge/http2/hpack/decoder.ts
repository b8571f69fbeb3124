import type { HeaderList } from "../../exchange.ts";
import { DynamicTable } from "./dynamic-table.ts";
import { HpackError } from "./error.ts";
import { decodeHuffman } from "./huffman.ts";
import { ENTRY_OVERHEAD, STATIC_SIZE, STATIC_TABLE } from "./static-table.ts";

/** An integer beyond this is no length and no index of anything we hold. */
const MAX_INTEGER = 2 ** 28;

/** A decoded header block. */
export interface Decoded {
  /** `[name, value, name, value, …]`, strings of bytes (latin1). */
  readonly fields: HeaderList;
  /** Names of fields that must never be put into a table (RFC 7541, section 7.1.3). */
  readonly neverIndexed: readonly string[];
  /** Bytes of names and values, and 32 for each field (RFC 9113, section 6.5.2). */
  readonly listBytes: number;
  /** True when the block held more than the limit; `fields` then ends before it did. */
  readonly tooLarge: boolean;
}

const NONE: readonly string[] = [];

/** Decodes the header blocks of one direction of one connection, in the order they came (RFC 7541). */
export class Decoder {
  readonly #table: DynamicTable;
  /** What we allowed the peer by SETTINGS_HEADER_TABLE_SIZE. */
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /** `maxListBytes` as in SETTINGS_MAX_HEADER_LIST_SIZE: names, values and 32 bytes for each field. */
  constructor(maxTableBytes: number, maxListBytes: number) {
    this.#table = new DynamicTable(maxTableBytes);
    this.#maxTableBytes = maxTableBytes;
    this.#maxListBytes = maxListBytes;
  }

  /** Grows with each change of the table: as long as it is the same, a block that changes nothing means the same. */
  get version(): number {
    return this.#table.version;
  }

  /** Decodes a whole block. Throws HpackError, after which the connection cannot go on. */
  decode(bytes: Buffer, start: number, end: number): Decoded {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    const fields: string[] = [];
    let neverIndexed: string[] | undefined;
    let listBytes = 0;
    while (this.#at < end) {
      const first = bytes[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        this.#updateSize(fields.length === 0 && listBytes === 0);
        continue;
      }
      let name: string;
      let value: string;
      if (first >= 0x80) {
        const index = this.#integer(7);
        name = this.#name(index);
        value = this.#value(index);
      } else {
        const indexed = (first & 0xc0) === 0x40;
        const index = this.#integer(indexed ? 6 : 4);
        name = index === 0 ? this.#string() : this.#name(index);
        value = this.#string();
        if (indexed) this.#table.add(name, value);
        else if ((first & 0x10) !== 0) (neverIndexed ??= []).push(name);
      }
      // Decoding goes on beyond the limit: the table must follow, or the connection is lost with the request.
      listBytes += name.length + value.length + ENTRY_OVERHEAD;
      if (listBytes <= this.#maxListBytes) fields.push(name, value);
    }
    return {
      fields,
      neverIndexed: neverIndexed ?? NONE,
      listBytes,
      tooLarge: listBytes > this.#maxListBytes,
    };
  }

  /** RFC 7541, section 4.2: only at the beginning of a block, and within what SETTINGS allowed. */
  #updateSize(atBeginning: boolean): void {
    if (!atBeginning) throw new HpackError("a table size update behind a field");
    const size = this.#integer(5);
    if (size > this.#maxTableBytes)
      throw new HpackError("a table size update beyond SETTINGS_HEADER_TABLE_SIZE");
    this.#table.resize(size);
  }

  #name(index: number): string {
    const name =
      index <= STATIC_SIZE ? STATIC_TABLE[index - 1]?.[0] : this.#table.name(index - STATIC_SIZE - 1);
    // RFC 7541, section 2.3.3, and 0 by section 6.1.
    if (name === undefined) throw new HpackError(`there is no entry ${index}`);
    return name;
  }

  #value(index: number): string {
    return index <= STATIC_SIZE
      ? (STATIC_TABLE[index - 1]?.[1] ?? "")
      : this.#table.value(index - STATIC_SIZE - 1);
  }

  /** RFC 7541, section 5.1. */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 1; ; shift *= 128) {
      if (this.#at >= this.#end) throw new HpackError("an integer that does not end");
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * shift;
      if (value > MAX_INTEGER || shift > MAX_INTEGER) throw new HpackError("an integer that is too large");
      if (byte < 0x80) return value;
    }
  }

  /** RFC 7541, section 5.2. */
  #string(): string {
    if (this.#at >= this.#end) throw new HpackError("a string that is not there");
    const huffman = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#end) throw new HpackError("a string that does not end");
    return huffman ? decodeHuffman(this.#bytes, start, this.#at) : this.#bytes.latin1Slice(start, this.#at);
  }
}
