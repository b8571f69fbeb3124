import type { HeaderList } from "../../exchange.ts";
import { ownCopy } from "../../waiting.ts";
import { DynamicTable } from "./dynamic-table.ts";
import { huffmanLength, writeHuffman } from "./huffman.ts";
import { ENTRY_OVERHEAD, STATIC_SIZE, STATIC_TABLE } from "./static-table.ts";

/** What is known of one field name: its first static entry, and the entries of its values. */
interface Name {
  readonly index: number;
  readonly values: ReadonlyMap<string, number>;
}

const STATIC_NAMES = staticNames();

function staticNames(): ReadonlyMap<string, Name> {
  const names = new Map<string, { index: number; values: Map<string, number> }>();
  for (const [i, [name, value]] of STATIC_TABLE.entries()) {
    const known = names.get(name) ?? { index: i + 1, values: new Map<string, number>() };
    known.values.set(value, i + 1);
    names.set(name, known);
  }
  return names;
}

/** Fields whose values hardly ever come again: they would only push others out of the table. */
const UNIQUE = new Set([
  "content-length",
  "etag",
  "grpc-timeout",
  "last-modified",
  "location",
  "set-cookie",
  "traceparent",
  "tracestate",
  "x-cloud-trace-context",
  "x-request-id",
]);

/** An entry larger than this share of the table is not worth what it pushes out. */
const LARGEST_SHARE = 4;

/** Blocks that are remembered at most, and bytes of the largest; lists among which the next one to remember is looked for. */
const MAX_REMEMBERED = 256;
const MAX_REMEMBERED_BYTES = 2048;
const CANDIDATES = 16;

/** A block that came out the same as long as the table is what it is. */
interface Remembered {
  readonly pseudo: HeaderList;
  readonly block: Buffer;
}

/** Bytes that an integer takes at most. */
const INTEGER_BYTES = 6;

export interface EncoderOptions {
  /** Bytes of the dynamic table, at most what the peer allows. */
  readonly maxTableBytes: number;
  /** Worth its time towards clients; on loopback bytes are free. */
  readonly huffman: boolean;
}

/** Encodes the header blocks of one direction of one connection (RFC 7541). */
export class Encoder {
  readonly #table: DynamicTable;
  /** name → value → the table's count when it came in. Two steps, since a key made of both would have to be hashed each time. */
  readonly #ids = new Map<string, Map<string, number>>();
  readonly #huffman: boolean;
  readonly #maxTableBytes: number;
  /** The smallest size since the last block, when it has to be told (RFC 7541, section 4.2). */
  #smallest: number | undefined;
  /** What was made of lists that came more than once (by identity), and the table's version that it holds for. */
  readonly #remembered = new Map<HeaderList, Remembered>();
  #version = 0;
  /** The lists that came last. */
  readonly #candidates: HeaderList[] = [];
  #nextCandidate = 0;

  constructor({ maxTableBytes, huffman }: EncoderOptions) {
    this.#maxTableBytes = maxTableBytes;
    this.#huffman = huffman;
    this.#table = new DynamicTable(maxTableBytes, (name, value, id) => this.#forget(name, value, id));
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  allow(tableBytes: number): void {
    const size = Math.min(tableBytes, this.#maxTableBytes);
    if (size === this.#table.maxSize) return;
    this.#smallest = Math.min(this.#smallest ?? size, size);
    this.#table.resize(size);
  }

  /** The block of a list that came before, if it is still good. `pseudo` and `fields` are told by identity: who changes a list must make a new one. */
  recall(pseudo: HeaderList, fields: HeaderList): Buffer | undefined {
    if (this.#version !== this.#table.version || this.#smallest !== undefined) return undefined;
    const known = this.#remembered.get(fields);
    return known !== undefined && known.pseudo === pseudo ? known.block : undefined;
  }

  /** Bytes that `encode` takes at most for these fields. */
  static most(fields: HeaderList): number {
    let bytes = 2 * INTEGER_BYTES;
    for (let i = 0; i < fields.length; i++) bytes += (fields[i]?.length ?? 0) + INTEGER_BYTES;
    return bytes;
  }

  /** Writes a block, first the pseudo-header fields; answers where it ends. There must be room for `Encoder.most` of both lists. */
  encode(
    pseudo: HeaderList,
    fields: HeaderList,
    neverIndexed: readonly string[],
    out: Buffer,
    start: number,
  ): number {
    const from = this.#writeSize(out, start);
    const { version } = this.#table;
    const at = this.#fields(fields, neverIndexed, out, this.#fields(pseudo, neverIndexed, out, from));
    if (version === this.#table.version && from === start) this.#mayRemember(pseudo, fields, out, start, at);
    return at;
  }

  /** Remembers the block of a list that has come before, lately. Most lists never come again and are not worth their place. */
  #mayRemember(pseudo: HeaderList, fields: HeaderList, out: Buffer, start: number, end: number): void {
    if (end - start > MAX_REMEMBERED_BYTES) return;
    if (!this.#candidates.includes(fields)) {
      this.#candidates[this.#nextCandidate] = fields;
      this.#nextCandidate = (this.#nextCandidate + 1) % CANDIDATES;
      return;
    }
    if (this.#version !== this.#table.version || this.#remembered.size >= MAX_REMEMBERED)
      this.#remembered.clear();
    this.#version = this.#table.version;
    this.#remembered.set(fields, { pseudo, block: ownCopy(out.subarray(start, end)) });
  }

  #fields(fields: HeaderList, neverIndexed: readonly string[], out: Buffer, start: number): number {
    let at = start;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? "";
      const value = fields[i + 1] ?? "";
      at = neverIndexed.includes(name)
        ? this.#literal(out, at, 0x10, 4, name, value)
        : this.#field(out, at, name, value);
    }
    return at;
  }

  #field(out: Buffer, at: number, name: string, value: string): number {
    const known =
      STATIC_NAMES.get(name)?.values.get(value) ?? this.#dynamicIndex(this.#ids.get(name)?.get(value));
    if (known !== undefined) return writeInteger(out, at, 0x80, 7, known);
    const bytes = name.length + value.length + ENTRY_OVERHEAD;
    if (UNIQUE.has(name) || bytes * LARGEST_SHARE > this.#table.maxSize)
      return this.#literal(out, at, 0, 4, name, value);
    const end = this.#literal(out, at, 0x40, 6, name, value);
    this.#table.add(name, value);
    this.#remember(name, value, this.#table.inserted);
    return end;
  }

  #remember(name: string, value: string, id: number): void {
    const values = this.#ids.get(name);
    if (values === undefined) this.#ids.set(name, new Map([[value, id]]));
    else values.set(value, id);
  }

  #forget(name: string, value: string, id: number): void {
    const values = this.#ids.get(name);
    if (values?.get(value) !== id) return;
    values.delete(value);
    if (values.size === 0) this.#ids.delete(name);
  }

  #literal(out: Buffer, start: number, pattern: number, prefix: number, name: string, value: string): number {
    const index = STATIC_NAMES.get(name)?.index ?? 0;
    let at = writeInteger(out, start, pattern, prefix, index);
    if (index === 0) at = this.#string(out, at, name);
    return this.#string(out, at, value);
  }

  #string(out: Buffer, start: number, text: string): number {
    if (this.#huffman) {
      const length = huffmanLength(text);
      if (length < text.length) return writeHuffman(text, out, writeInteger(out, start, 0x80, 7, length));
    }
    const at = writeInteger(out, start, 0, 7, text.length);
    return at + out.latin1Write(text, at, text.length);
  }

  /** Both the smallest size there was and the one there is (RFC 7541, section 4.2). */
  #writeSize(out: Buffer, start: number): number {
    if (this.#smallest === undefined) return start;
    const at =
      this.#smallest < this.#table.maxSize ? writeInteger(out, start, 0x20, 5, this.#smallest) : start;
    this.#smallest = undefined;
    return writeInteger(out, at, 0x20, 5, this.#table.maxSize);
  }

  #dynamicIndex(id: number | undefined): number | undefined {
    return id === undefined ? undefined : STATIC_SIZE + 1 + this.#table.inserted - id;
  }
}

/** RFC 7541, section 5.1. */
function writeInteger(out: Buffer, start: number, pattern: number, prefix: number, value: number): number {
  const mask = (1 << prefix) - 1;
  let at = start;
  if (value < mask) {
    out[at++] = pattern | value;
    return at;
  }
  out[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) | 0x80;
  out[at++] = rest;
  return at;
}
