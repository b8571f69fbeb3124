import { HpackError } from "./error.ts";

/**
 * RFC 7541, Appendix B. The code is canonical: symbols ordered by length, then by code, get consecutive codes. So the
 * symbols of each length say it all.
 */
// prettier-ignore
const SYMBOLS: readonly (readonly [bits: number, symbols: readonly number[]])[] = [
  [5, [48, 49, 50, 97, 99, 101, 105, 111, 115, 116]],
  [6, [32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117]],
  [7, [58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122]],
  [8, [38, 42, 44, 59, 88, 90]],
  [10, [33, 34, 40, 41, 63]],
  [11, [39, 43, 124]],
  [12, [35, 62]],
  [13, [0, 36, 64, 91, 93, 126]],
  [14, [94, 125]],
  [15, [60, 96, 123]],
  [19, [92, 195, 208]],
  [20, [128, 130, 131, 162, 184, 194, 224, 226]],
  [21, [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]],
  [22, [129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233]],
  [23, [1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239]],
  [24, [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]],
  [25, [199, 207, 234, 235]],
  [26, [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]],
  [27, [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]],
  [28, [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249]],
  [30, [10, 13, 22, 256]],
];

const EOS = 256;

/** Code and length of each symbol. */
const CODES = new Uint32Array(257);
const LENGTHS = new Uint8Array(257);

/**
 * The decoder's tables, 256 entries each, looked up by the next 8 bits. An entry is a leaf (bits used << 9 | symbol)
 * or, negative, the number of the table that goes on.
 */
const TABLES = new Int16Array(256 * 32);

buildTables();

function buildTables(): void {
  let code = 0;
  let previous = 0;
  let tables = 1;
  for (const [bits, symbols] of SYMBOLS) {
    code *= 2 ** (bits - previous);
    previous = bits;
    for (const symbol of symbols) {
      CODES[symbol] = code;
      LENGTHS[symbol] = bits;
      tables = addLeaf(code, bits, symbol, tables);
      code++;
    }
  }
}

/** Enters one code; answers how many tables there are then. */
function addLeaf(code: number, bits: number, symbol: number, tables: number): number {
  let table = 0;
  let left = bits;
  while (left > 8) {
    const at = table * 256 + (Math.floor(code / 2 ** (left - 8)) & 0xff);
    if (TABLES[at] === 0) TABLES[at] = -tables++;
    table = -(TABLES[at] ?? 0);
    left -= 8;
  }
  const first = (code << (8 - left)) & 0xff;
  TABLES.fill((left << 9) | symbol, table * 256 + first, table * 256 + first + 2 ** (8 - left));
  return tables;
}

/** Grown as needed, shared by all calls: a string is made of it before the next one begins. */
let scratch = Buffer.alloc(4096);

/** Decodes to a latin1 string. Throws on EOS, and on padding that is longer than 7 bits or not all ones (RFC 7541, section 5.2). */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string {
  // The shortest code has 5 bits.
  const most = Math.ceil(((end - start) * 8) / 5);
  if (scratch.length < most) scratch = Buffer.alloc(most * 2);
  let length = 0;
  let table = 0;
  let acc = 0;
  let bits = 0;
  for (let at = start; at < end; at++) {
    acc = ((acc << 8) | (bytes[at] ?? 0)) & 0xffff;
    bits += 8;
    while (bits >= 8) {
      const entry = TABLES[table * 256 + ((acc >>> (bits - 8)) & 0xff)] ?? 0;
      if (entry < 0) {
        table = -entry;
        bits -= 8;
        continue;
      }
      if ((entry & 0x1ff) === EOS) throw new HpackError("EOS in a Huffman string");
      scratch[length++] = entry & 0xff;
      bits -= entry >> 9;
      table = 0;
    }
  }
  // What is left is at most 7 bits: the end of a code, short codes, then padding.
  while (bits > 0) {
    const entry = TABLES[table * 256 + ((acc << (8 - bits)) & 0xff)] ?? 0;
    if (entry < 0 || entry >> 9 > bits) break;
    if ((entry & 0x1ff) === EOS) throw new HpackError("EOS in a Huffman string");
    scratch[length++] = entry & 0xff;
    bits -= entry >> 9;
    table = 0;
  }
  const padding = 2 ** bits - 1;
  if (table !== 0 || (acc & padding) !== padding) throw new HpackError("bad padding of a Huffman string");
  return scratch.latin1Slice(0, length);
}

/** Bytes that a latin1 string takes in Huffman code. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i) & 0xff] ?? 0;
  return Math.ceil(bits / 8);
}

/** Writes a latin1 string in Huffman code, padded with ones; answers where it ends. There must be room for it. */
export function writeHuffman(text: string, out: Buffer, start: number): number {
  let at = start;
  // At most 7 bits are left from one symbol to the next, and a code has at most 30: together less than 2 ** 53.
  let acc = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const length = LENGTHS[symbol] ?? 0;
    acc = acc * 2 ** length + (CODES[symbol] ?? 0);
    bits += length;
    while (bits >= 8) {
      bits -= 8;
      const byte = Math.floor(acc / 2 ** bits);
      out[at++] = byte;
      acc -= byte * 2 ** bits;
    }
  }
  if (bits > 0) out[at++] = (acc << (8 - bits)) | (0xff >> bits);
  return at;
}
