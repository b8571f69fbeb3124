// Clients' requests, each read whole and one byte at a time (RFC 9112).
import assert from "node:assert/strict";
import { test } from "node:test";
import { bent, numbers, pieces } from "../../support/random.ts";
import { byteByByte, whole } from "../../support/replies.ts";
import { HEAD_BYTES, transcript } from "../../support/requests.ts";

type Case = readonly [why: string, text: string, want: readonly string[]];

const GET = "GET / HTTP/1.1\r\nHost: a\r\n";
const POST = "POST / HTTP/1.1\r\nHost: a\r\n";
const CHUNKED = `${POST}transfer-encoding: chunked\r\n\r\n`;
const CHUNKED_HEAD = "POST / 1.1 @a BODY host|a|transfer-encoding|chunked";
const UPGRADE = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n";

const good: readonly Case[] = [
  ["a GET", `${GET}\r\n`, ["GET / 1.1 @a host|a", "done"]],
  ["a query", "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /a?b=c 1.1 @a host|a", "done"]],
  [
    "two requests in one piece",
    `${GET}\r\nHEAD /2 HTTP/1.1\r\nHost: b\r\n\r\n`,
    ["GET / 1.1 @a host|a", "done", "HEAD /2 1.1 @b host|b", "done"],
  ],
  [
    "the same request three times",
    `${GET}\r\n${GET}\r\n${GET}\r\n`,
    ["GET / 1.1 @a host|a", "done", "GET / 1.1 @a host|a", "done", "GET / 1.1 @a host|a", "done"],
  ],
  [
    "a request that begins like the one before",
    `${GET}\r\n${GET}x: y\r\n\r\n`,
    ["GET / 1.1 @a host|a", "done", "GET / 1.1 @a host|a|x|y", "done"],
  ],
  [
    "the same head with another body",
    `${POST}content-length: 2\r\n\r\nhi${POST}content-length: 2\r\n\r\nho`,
    [
      "POST / 1.1 @a BODY host|a|content-length|2",
      "done hi",
      "POST / 1.1 @a BODY host|a|content-length|2",
      "done ho",
    ],
  ],
  ["an empty line before a request", `\r\n${GET}\r\n`, ["GET / 1.1 @a host|a", "done"]],
  ["four empty lines before a request", `${"\r\n".repeat(4)}${GET}\r\n`, ["GET / 1.1 @a host|a", "done"]],
  ["an empty line behind the last request", `${GET}\r\n\r\n`, ["GET / 1.1 @a host|a", "done"]],
  [
    "a counted body",
    `${POST}Content-Length: 5\r\n\r\nhello`,
    ["POST / 1.1 @a BODY host|a|content-length|5", "done hello"],
  ],
  [
    "a counted body of nothing",
    `${POST}content-length: 0\r\n\r\n`,
    ["POST / 1.1 @a host|a|content-length|0", "done"],
  ],
  ["chunks", `${CHUNKED}2\r\nhi\r\n3;x=y\r\nyes\r\n0\r\n\r\n`, [CHUNKED_HEAD, "done hiyes"]],
  ["no chunks", `${CHUNKED}0\r\n\r\n`, [CHUNKED_HEAD, "done"]],
  ["trailers", `${CHUNKED}2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n`, [CHUNKED_HEAD, "done hi x-sum|1"]],
  [
    "Chunked in capitals",
    `${POST}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n`,
    ["POST / 1.1 @a BODY host|a|transfer-encoding|Chunked", "done"],
  ],
  [
    "a body that looks like a request",
    `${POST}content-length: 14\r\n\r\nGET / HTTP/1.1${GET}\r\n`,
    ["POST / 1.1 @a BODY host|a|content-length|14", "done GET / HTTP/1.1", "GET / 1.1 @a host|a", "done"],
  ],
  ["an absolute URL", "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /c 1.1 @b host|a", "done"]],
  [
    "an absolute URL without a path",
    "GET HTTPS://b:8?c HTTP/1.1\r\nHost: a\r\n\r\n",
    ["GET /?c 1.1 @b:8 host|a", "done"],
  ],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ["OPTIONS * 1.1 @a host|a", "done"]],
  ["an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ["GET / 1.1 @[::1]:80 host|[::1]:80", "done"]],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", ["GET / 1.1 @ host|", "done"]],
  [
    "bytes beyond ASCII",
    "GET /\xe4 HTTP/1.1\r\nHost: a\r\nx: \xff\r\n\r\n",
    ["GET /\xe4 1.1 @a host|a|x|\xff", "done"],
  ],
  [
    "a method nobody knows",
    "PROPFIND-2 / HTTP/1.1\r\nHost: a\r\n\r\n",
    ["PROPFIND-2 / 1.1 @a host|a", "done"],
  ],
  ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", ["GET / 1.0 @ LAST", "done"]],
  [
    "HTTP/1.0 that wants to go on",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ["GET / 1.0 @ LAST connection|keep-alive", "done"],
  ],
  [
    "Connection: close among others",
    `${GET}Connection: x, CLOSE\r\n\r\n`,
    ["GET / 1.1 @a LAST host|a|connection|x, CLOSE", "done"],
  ],
  [
    "Connection: close in a field of its own",
    `${GET}Connection: x\r\nConnection: close\r\n\r\n`,
    ["GET / 1.1 @a LAST host|a|connection|x|connection|close", "done"],
  ],
  [
    "Connection: closed, which says nothing",
    `${GET}Connection: closed\r\n\r\n`,
    ["GET / 1.1 @a host|a|connection|closed", "done"],
  ],
  [
    "an expectation",
    `${POST}Expect: 100-Continue\r\ncontent-length: 1\r\n\r\nx`,
    ["POST / 1.1 @a EXPECTS BODY host|a|expect|100-Continue|content-length|1", "done x"],
  ],
  [
    "an expectation in HTTP/1.0, which has none",
    "POST / HTTP/1.0\r\nExpect: miracles\r\ncontent-length: 1\r\n\r\nx",
    ["POST / 1.0 @ LAST BODY expect|miracles|content-length|1", "done x"],
  ],
  [
    "a WebSocket handshake",
    `${UPGRADE}Upgrade: WebSocket\r\n\r\n`,
    ["GET /ws 1.1 @a WEBSOCKET host|a|connection|keep-alive, Upgrade|upgrade|WebSocket", "done"],
  ],
  [
    "a WebSocket handshake among others",
    `${UPGRADE}Upgrade: h2c\r\nUpgrade: websocket\r\n\r\n`,
    ["GET /ws 1.1 @a WEBSOCKET host|a|connection|keep-alive, Upgrade|upgrade|h2c|upgrade|websocket", "done"],
  ],
  [
    "Upgrade: h2c, which is ignored",
    `${UPGRADE}Upgrade: h2c\r\n\r\n`,
    ["GET /ws 1.1 @a host|a|connection|keep-alive, Upgrade|upgrade|h2c", "done"],
  ],
  [
    "an Upgrade that Connection does not name",
    `${GET}Upgrade: websocket\r\n\r\n`,
    ["GET / 1.1 @a host|a|upgrade|websocket", "done"],
  ],
  [
    "an Upgrade that is no GET",
    `${POST}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ["POST / 1.1 @a host|a|connection|upgrade|upgrade|websocket", "done"],
  ],
  [
    "an Upgrade in HTTP/1.0",
    "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ["GET / 1.0 @ LAST connection|upgrade|upgrade|websocket", "done"],
  ],
  ["a head that is not over", GET, ["cut short"]],
  [
    "a body that is not over",
    `${POST}content-length: 5\r\n\r\nhel`,
    ["POST / 1.1 @a BODY host|a|content-length|5", "cut short hel"],
  ],
];

for (const [why, text, want] of good) {
  test(`reads ${why}`, () => assert.deepEqual(transcript(text), want));
  test(`reads ${why}, byte by byte`, () => assert.deepEqual(transcript(text, byteByByte), want));
}

type Refusal = readonly [why: string, text: string, status: number, message: string];

const line = (first: string): string => `${first}\r\nHost: a\r\n\r\n`;
const withField = (...fields: string[]): string =>
  `${POST}${fields.map((each) => `${each}\r\n`).join("")}\r\n`;
const NO_LINE = "no valid request line";
const NO_TARGET = "a request target that is neither a path nor an absolute http URL";
const NO_NUMBER = "a content-length that is no plain number";
const NO_NAME = "a field name with characters that no name has";

const bad: readonly Refusal[] = [
  ["HTTP/0.9", "GET /\r\n\r\n", 400, NO_LINE],
  ["a version of the past", line("GET / HTTP/0.9"), 400, "a version of HTTP that there is not"],
  ["HTTP/1.2", line("GET / HTTP/1.2"), 400, "a version of HTTP that there is not"],
  ["HTTP/3.7", line("GET / HTTP/3.7"), 400, "a version of HTTP that there is not"],
  ["a version of three parts", line("GET / HTTP/1.1.1"), 400, NO_LINE],
  ["a version of two digits", line("GET / HTTP/1.10"), 400, NO_LINE],
  ["http in lower case", line("GET / http/1.1"), 400, NO_LINE],
  ["another protocol's name", line("GET / RTSP/1.0"), 400, NO_LINE],
  ["two spaces before the target", line("GET  / HTTP/1.1"), 400, NO_LINE],
  ["two spaces behind the target", line("GET /  HTTP/1.1"), 400, NO_LINE],
  ["a space in the target", line("GET /a b HTTP/1.1"), 400, NO_LINE],
  ["a space before the method", line(" GET / HTTP/1.1"), 400, NO_LINE],
  ["a space behind the version", line("GET / HTTP/1.1 "), 400, NO_LINE],
  ["a tab in place of a space", line("GET\t/ HTTP/1.1"), 400, NO_LINE],
  ["no target", line("GET HTTP/1.1"), 400, NO_LINE],
  ["a method that is no token", line("G@T / HTTP/1.1"), 400, NO_LINE],
  ["a method in lower case", line("get / HTTP/1.1"), 400, "a method that is not in upper case"],
  ["a fragment", line("GET /a#b HTTP/1.1"), 400, NO_LINE],
  ["a target that is no path", line("GET example.com HTTP/1.1"), 400, NO_TARGET],
  ["a target of another scheme", line("GET ftp://b/ HTTP/1.1"), 400, NO_TARGET],
  ["* for a GET", line("GET * HTTP/1.1"), 400, NO_TARGET],
  ["a URL without a host", line("GET http:///a HTTP/1.1"), 400, NO_TARGET],
  [
    "a URL with a name in it",
    line("GET http://a@b/ HTTP/1.1"),
    400,
    "a request target whose authority names no host",
  ],
  ["a TLS handshake", "\x16\x03\x01\x02\x00\x01", 400, "a control character"],
  ["an empty line too many", `${"\r\n".repeat(5)}${GET}\r\n`, 400, "empty lines in place of a request"],
  ["a bare CR before a request", `\r${GET}\r\n`, 400, "a bare CR"],
  ["a bare LF before a request", `\n${GET}\r\n`, 400, "a line that ends in a bare LF"],
  ["bare LFs all over", "GET / HTTP/1.1\nHost: a\n\n", 400, "a line that ends in a bare LF"],
  ["a bare LF at the end of a field", `${GET}a: b\n\r\n`, 400, "a line that ends in a bare LF"],
  ["a bare CR in a value", withField("a: b\rc"), 400, "a bare CR"],
  ["a NUL in a value", withField("a: \0"), 400, "a control character"],
  ["DEL in a value", withField("a: \x7f"), 400, "a control character"],
  ["a NUL in the target", line("GET /\0 HTTP/1.1"), 400, "a control character"],
  ["a folded line", withField("a: b", " c"), 400, "a folded field line"],
  ["a folded line with a colon", withField("a: b", "\tc: d"), 400, "a folded field line"],
  ["a folded line first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "a folded field line"],
  [
    "white space before the colon",
    withField("content-length : 5"),
    400,
    "white space before a field's colon",
  ],
  ["a field without a name", withField(": b"), 400, "a field without a name"],
  ["a field without a colon", withField("content-length"), 400, "a field line without a colon"],
  ["a name with a space in it", withField("a b: c"), 400, NO_NAME],
  ["a name beyond ASCII", withField("\xe4: c"), 400, NO_NAME],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "no Host field"],
  ["two Hosts", withField("host: a"), 400, "more than one Host field"],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "a Host field that names no host"],
  ["a Host with a name in it", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "a Host field that names no host"],
  ["two hosts in one field", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "a Host field that names no host"],
  [
    "content-length twice",
    withField("content-length: 5", "content-length: 6"),
    400,
    "more than one content-length",
  ],
  [
    "the same content-length twice",
    withField("content-length: 5", "content-length: 5"),
    400,
    "more than one content-length",
  ],
  ["a list as content-length", withField("content-length: 5, 5"), 400, NO_NUMBER],
  ["content-length with a sign", withField("content-length: +5"), 400, NO_NUMBER],
  ["a negative content-length", withField("content-length: -5"), 400, NO_NUMBER],
  ["content-length in hexadecimal", withField("content-length: 0x5"), 400, NO_NUMBER],
  ["an empty content-length", withField("content-length:"), 400, NO_NUMBER],
  ["a content-length beyond counting", withField("content-length: 9007199254740993"), 400, NO_NUMBER],
  [
    "a WebSocket handshake with a counted body",
    `${UPGRADE}Upgrade: websocket\r\nContent-Length: 2\r\n\r\nhi`,
    400,
    "a WebSocket handshake with a body",
  ],
  [
    "a WebSocket handshake with chunks",
    `${UPGRADE}Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    "a WebSocket handshake with a body",
  ],
  [
    "content-length and chunks",
    withField("content-length: 5", "transfer-encoding: chunked"),
    400,
    "a content-length together with a transfer-encoding",
  ],
  [
    "content-length: 0 and chunks",
    withField("transfer-encoding: chunked", "content-length: 0"),
    400,
    "a content-length together with a transfer-encoding",
  ],
  [
    "transfer-encoding twice",
    withField("transfer-encoding: chunked", "transfer-encoding: chunked"),
    400,
    "more than one transfer-encoding",
  ],
  [
    "chunks in HTTP/1.0",
    "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
    400,
    "a transfer-encoding in an HTTP/1.0 request",
  ],
  ["a vertical tab before chunked", withField("transfer-encoding: \vchunked"), 400, "a control character"],
  [
    "two bad things at once",
    withField("a : b", "content-length: x"),
    400,
    "white space before a field's colon",
  ],
];

const refused: readonly (readonly [why: string, text: string, want: string])[] = [
  ...bad.map(
    ([why, text, status, message]) =>
      [why, text, `${status} bad_request: the client sent ${message}`] as const,
  ),
  ...[
    "xchunked",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "identity",
    "gzip",
    "",
    "chunked;q=1",
  ].map(
    (coding) =>
      [
        `transfer-encoding: ${coding}`,
        withField(`transfer-encoding: ${coding}`),
        "501 not_supported: transfer-encoding must be chunked",
      ] as const,
  ),
  ...["miracles", "100-continue, miracles", ""].map(
    (value) =>
      [
        `expect: ${value}`,
        withField(`expect: ${value}`),
        "417 expectation_failed: 100-continue is the only expectation that is met here",
      ] as const,
  ),
  [
    "HTTP/2.0",
    line("GET / HTTP/2.0"),
    "505 version_not_supported: HTTP/1.0 and HTTP/1.1 are served here, and HTTP/2 by prior knowledge",
  ],
  [
    "CONNECT",
    line("CONNECT a:443 HTTP/1.1"),
    "405 method_not_allowed: CONNECT is not served here, except for :protocol websocket",
  ],
  [
    "a head that does not fit",
    headOf(HEAD_BYTES + 1),
    `431 head_too_large: the client sent a head or trailers of more than ${HEAD_BYTES} bytes`,
  ],
  [
    "a request line that does not end",
    `GET /${"x".repeat(HEAD_BYTES)}`,
    `431 head_too_large: the client sent a head or trailers of more than ${HEAD_BYTES} bytes`,
  ],
];

function headOf(bytes: number): string {
  const empty = `${GET}x: \r\n\r\n`;
  return empty.replace("x: ", `x: ${"x".repeat(bytes - empty.length)}`);
}

for (const [why, text, want] of refused) {
  test(`refuses ${why}`, () => assert.deepEqual(transcript(text), [want]));
  test(`refuses ${why}, byte by byte`, () => assert.deepEqual(transcript(text, byteByByte), [want]));
}

const badBodies: readonly Refusal[] = [
  ["no size", "\r\nhi\r\n", 400, "a chunk without a size"],
  ["a size with a sign", "+2\r\nhi\r\n", 400, "a chunk without a size"],
  ["a size with 0x", "0x2\r\nhi\r\n", 400, "a chunk size that is no hexadecimal number"],
  ["white space behind the size", "2 \r\nhi\r\n", 400, "a chunk size that is no hexadecimal number"],
  ["a size beyond counting", `${"f".repeat(14)}\r\n`, 400, "a chunk size that is too large to count"],
  ["a size that ends in LF", "2\nhi\r\n", 400, "a chunk size that is no hexadecimal number"],
  ["a bare CR in an extension", "2;a\rb\r\nhi\r\n", 400, "a chunk size that does not end in CRLF"],
  ["extensions without end", `2;${"a".repeat(20_000)}\r\n`, 400, "too many chunk extensions"],
  ["extensions on each chunk", "1;aaaaaaaaaaaaaaa\r\nx\r\n".repeat(1200), 400, "too many chunk extensions"],
  ["a folded trailer", "0\r\na: b\r\n c\r\n\r\n", 400, "a folded field line"],
  ["a bare LF in a trailer", "0\r\na: b\n\r\n", 400, "a line that ends in a bare LF"],
  ["more data than its size", "2\r\nhi!\r\n0\r\n\r\n", 400, "a chunk that is longer than its size"],
  ["LF behind its data", "2\r\nhi\n0\r\n\r\n", 400, "a chunk that is longer than its size"],
];

for (const [why, text, status, message] of badBodies) {
  const want = [CHUNKED_HEAD, `${status} bad_request: the client sent ${message}`];
  test(`refuses chunks with ${why}`, () => assert.deepEqual(transcript(CHUNKED + text), want));
  test(`refuses chunks with ${why}, byte by byte`, () =>
    assert.deepEqual(transcript(CHUNKED + text, byteByByte), want));
}

test("refuses trailers that do not fit", () => {
  for (const cut of [whole, byteByByte]) {
    const lines = transcript(`${CHUNKED}0\r\na: ${"b".repeat(HEAD_BYTES)}\r\n\r\n`, cut);
    assert.match(lines.at(-1) ?? "", /^431 head_too_large/);
  }
});

test("reads a head that just fits", () => {
  for (const cut of [whole, byteByByte]) assert.equal(transcript(headOf(HEAD_BYTES), cut).at(-1), "done");
});

test("however requests are bent and cut, they are read the same, and refused in no other way", () => {
  const next = numbers(9112);
  const sources = [...good, ...refused].map(([, text]) => text);
  const bits = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    " ",
    "\t",
    ":",
    "0",
    ";",
    ",",
    "#",
    "chunked",
    "content-length: 1\r\n",
    "\xff",
    `${GET}\r\n`,
  ];
  for (let round = 0; round < 3000; round++) {
    const two = sources[next(sources.length)]! + sources[next(sources.length)]!;
    const text = bent(two, next(3), bits, next);
    const want = transcript(text);
    assert.deepEqual(transcript(text, byteByByte), want, JSON.stringify(text));
    assert.deepEqual(
      transcript(text, (bytes) => pieces(bytes, next)),
      want,
      JSON.stringify(text),
    );
  }
});
