// RFC 7541, Appendix C: every example, both ways where the encoder has a choice to make.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder } from "../../../edge/http2/hpack/decoder.ts";
import { Encoder } from "../../../edge/http2/hpack/encoder.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

/** A decoder's answer to each block in turn. */
function decodeAll(blocks: readonly string[], tableBytes = 4096): (readonly string[])[] {
  const decoder = new Decoder(tableBytes, 65_536);
  return blocks.map((text) => {
    const bytes = hex(text);
    return decoder.decode(bytes, 0, bytes.length).fields;
  });
}

for (const [section, bytes, update] of [
  ["C.1.1", 10, "2a"],
  ["C.1.2", 1337, "3f9a0a"],
] as const) {
  test(`${section}: ${bytes} in a prefix of 5 bits, as the size of a table`, () => {
    const encoder = new Encoder({ maxTableBytes: 4096, huffman: false });
    encoder.allow(bytes);
    const out = Buffer.alloc(100);
    const end = encoder.encode([], [":method", "GET"], [], out, 0);
    assert.equal(out.subarray(0, end).toString("hex"), `${update}82`);
    assert.deepEqual(decodeAll([`${update}82`]), [[":method", "GET"]]);
  });
}

const single: [section: string, block: string, fields: string[]][] = [
  ["C.2.1", "400a637573746f6d2d6b65790d637573746f6d2d686561646572", ["custom-key", "custom-header"]],
  ["C.2.2", "040c2f73616d706c652f70617468", [":path", "/sample/path"]],
  ["C.2.3", "100870617373776f726406736563726574", ["password", "secret"]],
  ["C.2.4", "82", [":method", "GET"]],
];
for (const [section, block, fields] of single)
  test(`${section} is decoded`, () => assert.deepEqual(decodeAll([block]), [fields]));

test("C.2.3: the field is one that must never be indexed", () => {
  const bytes = hex("100870617373776f726406736563726574");
  assert.deepEqual(new Decoder(4096, 65_536).decode(bytes, 0, bytes.length).neverIndexed, ["password"]);
});

const REQUESTS = [
  [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"],
  [
    ":method",
    "GET",
    ":scheme",
    "http",
    ":path",
    "/",
    ":authority",
    "www.example.com",
    "cache-control",
    "no-cache",
  ],
  [
    ":method",
    "GET",
    ":scheme",
    "https",
    ":path",
    "/index.html",
    ":authority",
    "www.example.com",
    "custom-key",
    "custom-value",
  ],
];
const PLAIN_REQUESTS = [
  "828684410f7777772e6578616d706c652e636f6d",
  "828684be58086e6f2d6361636865",
  "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
];
const HUFFMAN_REQUESTS = [
  "828684418cf1e3c2e5f23a6ba0ab90f4ff",
  "828684be5886a8eb10649cbf",
  "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
];

test("C.3: requests without Huffman are decoded", () =>
  assert.deepEqual(decodeAll(PLAIN_REQUESTS), REQUESTS));
test("C.4: requests with Huffman are decoded", () => assert.deepEqual(decodeAll(HUFFMAN_REQUESTS), REQUESTS));

for (const [section, huffman, blocks] of [
  ["C.3", false, PLAIN_REQUESTS],
  ["C.4", true, HUFFMAN_REQUESTS],
] as const) {
  test(`${section}: the encoder writes the same bytes`, () => {
    const encoder = new Encoder({ maxTableBytes: 4096, huffman });
    const out = Buffer.alloc(1000);
    const written = REQUESTS.map((fields) =>
      out.subarray(0, encoder.encode([], fields, [], out, 0)).toString("hex"),
    );
    assert.deepEqual(written, blocks);
  });
}

const DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const REPLIES = [
  [":status", "302", "cache-control", "private", "date", DATE, "location", "https://www.example.com"],
  [":status", "307", "cache-control", "private", "date", DATE, "location", "https://www.example.com"],
  [
    ":status",
    "200",
    "cache-control",
    "private",
    "date",
    DATE.replace(":21", ":22"),
    "location",
    "https://www.example.com",
    "content-encoding",
    "gzip",
    "set-cookie",
    COOKIE,
  ],
];

test("C.5: replies without Huffman, with evictions from a table of 256 bytes", () => {
  const blocks = [
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
  ];
  assert.deepEqual(decodeAll(blocks, 256), REPLIES);
});

test("C.6: replies with Huffman, with evictions from a table of 256 bytes", () => {
  const blocks = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ];
  assert.deepEqual(decodeAll(blocks, 256), REPLIES);
});

const broken: [why: string, block: string][] = [
  ["index 0", "80"],
  ["an index beyond the tables", "be"],
  ["an integer that does not end", "ff80"],
  ["an integer that is too large", "ffffffffffff7f"],
  ["an integer of zeros without end", "ff8080808080808080808000"],
  ["a string that does not end", "400a6375"],
  ["a string that is not there", "40"],
  ["a value that is not there", "4001 61"],
  ["EOS in a Huffman string", "4001 61 84 ffffffff"],
  ["EOS in the last bits of a Huffman string", "4001 61 85 003fffffff"],
  ["Huffman padding of 8 bits", "4001 61 82 1fff"],
  ["Huffman padding with a zero", "4001 61 81 18"],
  ["a size update beyond SETTINGS", "3fe2ff03"],
  ["a size update behind a field", "82 20"],
];
for (const [why, block] of broken) {
  test(`${why} is an error`, () => assert.throws(() => decodeAll([block]), { name: "Error" }));
}

test("size updates at the beginning are followed, down to nothing and up again", () => {
  const [first, second] = decodeAll(["40 01 61 01 62", "20 3fe11f 40 01 63 01 64"]);
  assert.deepEqual(
    [first, second],
    [
      ["a", "b"],
      ["c", "d"],
    ],
  );
  assert.throws(() => decodeAll(["40 01 61 01 62", "20 3fe11f be"]), "the entry of before is gone");
});

test("a list over the limit is cut, and the table still follows", () => {
  const decoder = new Decoder(4096, 100);
  const large = Buffer.concat([hex("40 01 61 7f 00"), Buffer.alloc(127, "x"), hex("40 01 62 01 63")]);
  const { fields, tooLarge } = decoder.decode(large, 0, large.length);
  assert.deepEqual([fields, tooLarge], [[], true]);
  assert.deepEqual(decoder.decode(hex("be"), 0, 1).fields, ["b", "c"]);
});
