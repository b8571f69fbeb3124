// Workers' replies, each read whole and one byte at a time (RFC 9112).
import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownHeads } from "../../../edge/message/known-heads.ts";
import type { FinalHead } from "../../../edge/upstream/http1/reply-parser.ts";
import { bent, numbers, pieces } from "../../support/random.ts";
import { HEAD_BYTES, byteByByte, transcript, whole } from "../../support/replies.ts";

type Case = readonly [why: string, text: string, want: readonly string[], asked?: object];

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;
const HEAD_CHUNKED = "200 transfer-encoding|chunked";

const good: readonly Case[] = [
  ["a counted body", `${OK}Content-Length: 2\r\n\r\nok`, ["200 content-length|2", "body ok", "done"]],
  ["a counted body of nothing", `${OK}content-length: 0\r\n\r\n`, ["200 END content-length|0", "done"]],
  ["chunks", `${CHUNKED}2\r\nok\r\n3\r\nyes\r\n0\r\n\r\n`, [HEAD_CHUNKED, "body okyes", "done"]],
  [
    "chunk sizes in both cases, with zeros",
    `${CHUNKED}00A\r\n0123456789\r\nb\r\n01234567890\r\n000\r\n\r\n`,
    [HEAD_CHUNKED, "body 012345678901234567890", "done"],
  ],
  ["chunk extensions", `${CHUNKED}2;a=b;c="d"\r\nok\r\n0;last\r\n\r\n`, [HEAD_CHUNKED, "body ok", "done"]],
  [
    "trailers",
    `${CHUNKED}2\r\nok\r\n0\r\nX-Sum: 1\r\nx-more:2\r\n\r\n`,
    [HEAD_CHUNKED, "body ok", "done x-sum|1|x-more|2"],
  ],
  [
    "Chunked in capitals",
    `${OK}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n`,
    ["200 transfer-encoding|Chunked", "done"],
  ],
  [
    "a body until the end of the connection",
    `${OK}x: y\r\n\r\nall of it`,
    ["200 x|y", "body all of it", "done"],
    { thenEnd: true },
  ],
  [
    "HTTP/1.0 until the end of the connection",
    "HTTP/1.0 200 OK\r\n\r\nold",
    ["200", "body old", "done"],
    { thenEnd: true },
  ],
  [
    "HTTP/1.0 with a length",
    "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold",
    ["200 content-length|3", "body old", "done"],
  ],
  [
    "a reply to HEAD",
    `${OK}content-length: 100\r\n\r\n`,
    ["200 END content-length|100", "done"],
    { method: "HEAD" },
  ],
  ["a chunked reply to HEAD", CHUNKED, ["200 END transfer-encoding|chunked", "done"], { method: "HEAD" }],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n", ["204 END", "done"]],
  [
    "304 with the length of what it stands for",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    ["304 END content-length|9", "done"],
  ],
  [
    "interim replies",
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}content-length: 0\r\n\r\n`,
    ["100", "103 link|</a>", "200 END content-length|0", "done"],
  ],
  [
    "a status line without a reason",
    "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    ["200 END content-length|0", "done"],
  ],
  [
    "a status line without even the space",
    "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    ["200 END content-length|0", "done"],
  ],
  [
    "repeated fields, in order",
    `${OK}a: 1\r\nb: 2\r\na: 3\r\ncontent-length: 0\r\n\r\n`,
    ["200 END a|1|b|2|a|3|content-length|0", "done"],
  ],
  [
    "white space around values",
    `${OK}a: \t x y \t\r\nb:z\r\nc:\r\nd: \r\ncontent-length: 0\r\n\r\n`,
    ["200 END a|x y|b|z|c||d||content-length|0", "done"],
  ],
  [
    "bytes beyond ASCII in a value",
    `${OK}a: Zo\xc3\xab\r\ncontent-length: 0\r\n\r\n`,
    ["200 END a|Zo\xc3\xab|content-length|0", "done"],
  ],
  [
    "a colon in a value",
    `${OK}a: b:c\r\ncontent-length: 0\r\n\r\n`,
    ["200 END a|b:c|content-length|0", "done"],
  ],
  [
    "a name that an object has by itself",
    `${OK}__proto__: a\r\nconstructor: b\r\ncontent-length: 0\r\n\r\n`,
    ["200 END __proto__|a|constructor|b|content-length|0", "done"],
  ],
  [
    "101 that was asked for, and what follows",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nrest",
    ["upgraded upgrade|x", "rest 4"],
    { upgrade: true },
  ],
  [
    "bytes behind a counted reply",
    `${OK}content-length: 2\r\n\r\nok${OK}`,
    ["200 content-length|2", "body ok", "done", "rest 17"],
  ],
  ["bytes behind a chunked reply", `${CHUNKED}0\r\n\r\nx`, [HEAD_CHUNKED, "done", "rest 1"]],
  [
    "bytes behind a reply without a body",
    "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok",
    ["204 END content-length|2", "done", "rest 2"],
  ],
  ["a head that is not over", `${OK}a: b\r\n`, []],
  [
    "a counted body cut short",
    `${OK}content-length: 5\r\n\r\nhal`,
    ["200 content-length|5", "cut short", "body hal"],
    { thenEnd: true },
  ],
  [
    "chunks cut short",
    `${CHUNKED}5\r\nhello\r\n`,
    [HEAD_CHUNKED, "cut short", "body hello"],
    { thenEnd: true },
  ],
  ["trailers cut short", `${CHUNKED}0\r\n`, [HEAD_CHUNKED, "cut short"], { thenEnd: true }],
  ["a head cut short", `${OK}content-length: 0\r\n`, ["cut short"], { thenEnd: true }],
  ["nothing at all", "", ["cut short"], { thenEnd: true }],
];

function headOf(bytes: number): string {
  const empty = `${OK}x: \r\ncontent-length: 0\r\n\r\n`;
  return empty.replace("x: ", `x: ${"x".repeat(bytes - empty.length)}`);
}

for (const [why, text, want, asked] of good) {
  test(`reads ${why}`, () => assert.deepEqual(transcript(text, whole, asked), want));
  test(`reads ${why}, byte by byte`, () => assert.deepEqual(transcript(text, byteByByte, asked), want));
}

type Refusal = readonly [why: string, text: string, message: string, asked?: object];

const withFields = (...lines: string[]): string => `${OK}${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

const bad: readonly Refusal[] = [
  [
    "content-length twice",
    withFields("content-length: 2", "content-length: 3"),
    "more than one content-length",
  ],
  [
    "content-length twice and the same",
    withFields("content-length: 2", "content-length: 2"),
    "more than one content-length",
  ],
  [
    "a list as content-length",
    withFields("content-length: 2, 2"),
    "a content-length that is no plain number",
  ],
  [
    "content-length with a plus",
    withFields("content-length: +2"),
    "a content-length that is no plain number",
  ],
  [
    "content-length with a minus",
    withFields("content-length: -2"),
    "a content-length that is no plain number",
  ],
  ["an empty content-length", withFields("content-length:"), "a content-length that is no plain number"],
  [
    "content-length in hexadecimal",
    withFields("content-length: 0x2"),
    "a content-length that is no plain number",
  ],
  [
    "a content-length beyond counting",
    withFields("content-length: 9007199254740993"),
    "a content-length that is no plain number",
  ],
  [
    "a bad content-length in a reply to HEAD",
    withFields("content-length: a"),
    "a content-length that is no plain number",
    { method: "HEAD" },
  ],
  [
    "content-length and chunks",
    withFields("content-length: 2", "transfer-encoding: chunked"),
    "a content-length together with a transfer-encoding",
  ],
  [
    "chunks and content-length",
    withFields("transfer-encoding: chunked", "content-length: 2"),
    "a content-length together with a transfer-encoding",
  ],
  [
    "transfer-encoding twice",
    withFields("transfer-encoding: chunked", "transfer-encoding: chunked"),
    "more than one transfer-encoding",
  ],
  ["gzip, chunked", withFields("transfer-encoding: gzip, chunked"), "a transfer-encoding other than chunked"],
  ["chunked, gzip", withFields("transfer-encoding: chunked, gzip"), "a transfer-encoding other than chunked"],
  ["identity", withFields("transfer-encoding: identity"), "a transfer-encoding other than chunked"],
  ["an empty transfer-encoding", withFields("transfer-encoding:"), "a transfer-encoding other than chunked"],
  [
    "something like chunked",
    withFields("transfer-encoding: xchunked"),
    "a transfer-encoding other than chunked",
  ],
  ["a vertical tab around chunked", withFields("transfer-encoding: \vchunked"), "a control character"],
  [
    "chunks in HTTP/1.0",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "a transfer-encoding in an HTTP/1.0 reply",
  ],
  ["a folded line", withFields("a: b", " c"), "a folded field line"],
  ["a folded line with a colon", withFields("a: b", "\tc: d"), "a folded field line"],
  ["a folded line first", withFields(" a: b"), "a folded field line"],
  ["white space before the colon", withFields("a : b"), "white space before a field's colon"],
  [
    "a tab before the colon",
    withFields("transfer-encoding\t: chunked"),
    "white space before a field's colon",
  ],
  ["a name of nothing", withFields(": b"), "a field without a name"],
  ["a name with a space in it", withFields("a b: c"), "a field name with characters that no name has"],
  ["a name beyond ASCII", withFields("\xe4: c"), "a field name with characters that no name has"],
  ["a line without a colon", withFields("content-length"), "a field line without a colon"],
  ["a NUL in a value", withFields("a: b\0c"), "a control character"],
  ["DEL in a value", withFields("a: b\x7f"), "a control character"],
  ["a bell in a value", withFields("a: \x07"), "a control character"],
  ["a bare CR in a value", withFields("a: b\rc"), "a bare CR"],
  ["a CR too many at a line's end", withFields("a: b\r"), "a bare CR"],
  ["a bare LF at the end of a line", `${OK}a: b\nc: d\r\n\r\n`, "a line that ends in a bare LF"],
  ["bare LFs all over", "HTTP/1.1 200 OK\ncontent-length: 0\n\n", "a line that ends in a bare LF"],
  ["an empty line before the status line", `\r\n${OK}\r\n`, "no HTTP/1.1 status line"],
  ["HTTP/0.9", "hello\r\n\r\n", "no HTTP/1.1 status line"],
  ["another protocol that waits for an answer", "SSH-2.0-OpenSSH_9.2", "no HTTP/1.1 status line"],
  ["a bad status line whose head goes on", "HTTP/1.1 2xx\r\na: b\r\n", "no HTTP/1.1 status line"],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["http in lower case", "http/1.1 200 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["another protocol", "ICY 200 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["a status of letters", "HTTP/1.1 abc OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", "no HTTP/1.1 status line"],
  ["a tab before the reason", "HTTP/1.1 200\tOK\r\n\r\n", "no HTTP/1.1 status line"],
  ["status 042", "HTTP/1.1 042 What\r\n\r\n", "the status 042"],
  ["status 099", "HTTP/1.1 099 What\r\n\r\n", "the status 099"],
  ["status 600", "HTTP/1.1 600 What\r\n\r\n", "the status 600"],
  [
    "a 101 that nobody asked for",
    "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n\r\n",
    "a 101 that nobody asked for",
  ],
  ["a 101 in HTTP/1.0", "HTTP/1.0 101 Switching\r\n\r\n", "a 101 that nobody asked for", { upgrade: true }],
  ["a head that does not fit", headOf(HEAD_BYTES + 1), `a head or trailers of more than ${HEAD_BYTES} bytes`],
  [
    "a line that does not end",
    `HTTP/1.1 200 ${"x".repeat(HEAD_BYTES)}`,
    `a head or trailers of more than ${HEAD_BYTES} bytes`,
  ],
];

for (const [why, text, message, asked] of bad) {
  const want = [`upstream_garbage: the worker sent ${message}`];
  test(`refuses ${why}`, () => assert.deepEqual(transcript(text, whole, asked), want));
  test(`refuses ${why}, byte by byte`, () => assert.deepEqual(transcript(text, byteByByte, asked), want));
}

const badChunks: readonly Refusal[] = [
  ["no size", "\r\nok\r\n", "a chunk without a size"],
  ["an extension without a size", ";a\r\n", "a chunk without a size"],
  ["a size that is no number", "x\r\n", "a chunk without a size"],
  ["a size with a sign", "+2\r\nok\r\n", "a chunk without a size"],
  ["a size with 0x", "0x2\r\nok\r\n", "a chunk size that is no hexadecimal number"],
  ["white space behind the size", "2 \r\nok\r\n", "a chunk size that is no hexadecimal number"],
  ["white space before the size", " 2\r\nok\r\n", "a chunk without a size"],
  ["a size beyond counting", `${"f".repeat(14)}\r\n`, "a chunk size that is too large to count"],
  [
    "a size of 64 bits that comes out as 2",
    "10000000000000002\r\nok\r\n",
    "a chunk size that is too large to count",
  ],
  ["a size that ends in LF", "2\nok\r\n", "a chunk size that is no hexadecimal number"],
  ["a size with a bare CR", "2\rok\r\n", "a chunk size that does not end in CRLF"],
  ["an extension that ends in LF", "2;a\nok\r\n", "a control character in a chunk extension"],
  ["a NUL in an extension", "2;\0\r\nok\r\n", "a control character in a chunk extension"],
  ["extensions without end", `2;${"a".repeat(20_000)}\r\nok\r\n`, "too many chunk extensions"],
  [
    "extensions without end, a few on each chunk",
    "1;aaaaaaaaaaaaaaa\r\nx\r\n".repeat(1200),
    "too many chunk extensions",
  ],
];

test("what is remembered of the heads before changes nothing of how a reply is read", () => {
  const known = new KnownHeads<FinalHead>(4);
  const all = [...good, ...bad];
  for (const [, text, , asked] of [...all, ...all.toReversed(), ...all.flatMap((one) => [one, one])]) {
    const want = transcript(text, whole, asked as object);
    assert.deepEqual(transcript(text, whole, { ...(asked as object), known }), want, JSON.stringify(text));
  }
});

test("a head that is remembered from a GET still has no body for HEAD, and the other way round", () => {
  const text = `${OK}content-length: 2\r\n\r\n`;
  for (const methods of [
    ["GET", "HEAD", "GET"],
    ["HEAD", "GET", "HEAD"],
  ]) {
    const known = new KnownHeads<FinalHead>(4);
    for (const method of methods) {
      const isHead = method === "HEAD";
      const want = isHead
        ? ["200 END content-length|2", "done", "rest 2"]
        : ["200 content-length|2", "body ok", "done"];
      assert.deepEqual(transcript(`${text}ok`, whole, { method, known }), want);
    }
  }
});

for (const [why, text, message] of badChunks) {
  const want = `upstream_garbage: the worker sent ${message}`;
  const seen = (cut: typeof byteByByte | typeof whole) =>
    transcript(CHUNKED + text, cut).filter((line) => !line.startsWith("body "));
  test(`refuses chunks with ${why}`, () => assert.deepEqual(seen(whole), [HEAD_CHUNKED, want]));
  test(`refuses chunks with ${why}, byte by byte`, () =>
    assert.deepEqual(seen(byteByByte), [HEAD_CHUNKED, want]));
}

const badEnds: readonly Refusal[] = [
  ["more data than its size", "2\r\nokay\r\n", "a chunk that is longer than its size"],
  ["no CRLF behind its data", "2\r\nok3\r\n", "a chunk that is longer than its size"],
  ["LF behind its data", "2\r\nok\n0\r\n", "a chunk that is longer than its size"],
  ["a bare CR behind its data", "2\r\nok\r0\r\n", "a chunk that does not end in CRLF"],
  ["a folded trailer", "2\r\nok\r\n0\r\na: b\r\n c\r\n\r\n", "a folded field line"],
  ["a bare LF in its trailers", "2\r\nok\r\n0\r\na: b\n\r\n", "a line that ends in a bare LF"],
  [
    "trailers that do not fit",
    `2\r\nok\r\n0\r\na: ${"b".repeat(HEAD_BYTES)}\r\n\r\n`,
    `a head or trailers of more than ${HEAD_BYTES} bytes`,
  ],
];

for (const [why, text, message] of badEnds) {
  const want = [HEAD_CHUNKED, `upstream_garbage: the worker sent ${message}`, "body ok"];
  test(`refuses a chunk with ${why}`, () => assert.deepEqual(transcript(CHUNKED + text, whole), want));
  test(`refuses a chunk with ${why}, byte by byte`, () =>
    assert.deepEqual(transcript(CHUNKED + text, byteByByte), want));
}

test("reads a head that just fits", () => {
  for (const cut of [whole, byteByByte]) assert.equal(transcript(headOf(HEAD_BYTES), cut).at(-1), "done");
});

test("refuses interim replies without end", () => {
  const lines = transcript("HTTP/1.1 102 Processing\r\n\r\n".repeat(101));
  assert.deepEqual(lines.slice(99), [
    "102",
    "upstream_garbage: the worker sent more than 100 interim replies",
  ]);
});

test("however a reply is bent and cut, it is read the same, and refused in no other way", () => {
  const next = numbers(9112);
  const sources = [...good, ...bad].map(([, text]) => text).filter((text) => text !== "");
  const bits = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    " ",
    "\t",
    ":",
    "0",
    "f",
    ";",
    ",",
    "chunked",
    "content-length: 1\r\n",
    "\xff",
  ];
  const known = new KnownHeads<FinalHead>(4);
  for (let round = 0; round < 3000; round++) {
    const text = bent(sources[next(sources.length)]!, 1 + next(3), bits, next);
    const asked = { method: next(4) === 0 ? "HEAD" : "GET", upgrade: next(2) === 0, thenEnd: next(2) === 0 };
    const want = transcript(text, whole, asked);
    assert.deepEqual(transcript(text, byteByByte, asked), want, JSON.stringify(text));
    assert.deepEqual(transcript(text, whole, { ...asked, known }), want, JSON.stringify(text));
    assert.deepEqual(
      transcript(text, (bytes) => pieces(bytes, next), asked),
      want,
      JSON.stringify(text),
    );
  }
});
