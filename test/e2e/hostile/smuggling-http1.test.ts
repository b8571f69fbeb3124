// Bytes that two readers could take for two requests, through the real edge to workers that read as carelessly as any:
// whatever a client sends, a worker sees one request of it, or none.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import type { Attack, Front } from "../../support/hostile.ts";
import { SMUGGLED, fronts, underAttack } from "../../support/hostile.ts";
import type { SeenRequest } from "../../support/lenient-worker.ts";
import { values } from "../../support/lenient-worker.ts";
import { suiteScope } from "../../support/suite.ts";

let all: readonly Front[];
const suite = suiteScope();
before(async () => {
  all = await fronts(suite, ["http2-proxy", "direct"]);
});

/** The bytes, and the status that the edge answers with. */
function attack(bytes: string, status: string): Attack {
  return async (t, port) => {
    const client = new RawClient(t, port);
    client.send(bytes);
    assert.match(await client.until(/^HTTP\/1\.1 [0-9]{3} /), new RegExp(`^HTTP/1\\.1 (${status}) `));
    client.socket.destroy();
  };
}

const POST = "POST /a HTTP/1.1\r\nHost: a\r\n";
const N = SMUGGLED.length;
const chunk = `${N.toString(16)}\r\n${SMUGGLED}\r\n`;
const HIDDEN = `${POST}X-A: b`;

/** What is refused before a worker hears of it. */
const refused: readonly (readonly [why: string, bytes: string, status?: string])[] = [
  ["CL.TE", `${POST}Content-Length: ${N + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ["TE.CL", `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${chunk}0\r\n\r\n`],
  [
    "TE.TE: two of them",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n${chunk}0\r\n\r\n`,
  ],
  ["TE.TE: a list", `${POST}Transfer-Encoding: chunked, identity\r\n\r\n${chunk}0\r\n\r\n`, "501"],
  ["TE.TE: identity first", `${POST}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`, "501"],
  ["TE.TE: twice in a list", `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, "501"],
  ["TE.TE: xchunked", `${POST}Transfer-Encoding: xchunked\r\n\r\n${chunk}0\r\n\r\n`, "501"],
  ["TE.TE: in quotes", `${POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, "501"],
  ["TE.TE: with a parameter", `${POST}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`, "501"],
  ["TE.TE: a vertical tab", `${POST}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`],
  ["TE.TE: a space before the colon", `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ["TE.TE: a folded value", `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ["TE.TE: behind a bare LF", `${HIDDEN}\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ["TE.TE: behind a bare CR", `${HIDDEN}\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ["TE.TE: in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["TE.TE: a NUL behind it", `${POST}Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n`],
  ["CL.CL: two that differ", `${POST}Content-Length: 0\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: two that are the same", `${POST}Content-Length: ${N}\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: a list", `${POST}Content-Length: 0, ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: a sign", `${POST}Content-Length: +${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: hexadecimal", `${POST}Content-Length: 0x${N.toString(16)}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: beyond 64 bits", `${POST}Content-Length: 18446744073709551616\r\n\r\n${SMUGGLED}`],
  ["CL.CL: a fraction", `${POST}Content-Length: ${N}.0\r\n\r\n${SMUGGLED}`],
  ["CL.CL: two numbers", `${POST}Content-Length: 0 ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: folded", `${POST}Content-Length: 0\r\n ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: a space before the colon", `${POST}Content-Length : ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: behind a bare LF", `${HIDDEN}\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`],
  ["CL.CL: a space first in the line", `${POST}X-A: b\r\n Content-Length: ${N}\r\n\r\n${SMUGGLED}`],
  ["a head that ends in bare LFs", `GET /a HTTP/1.1\nHost: a\n\n${SMUGGLED}`],
  ["a head that ends in LF CR LF", `GET /a HTTP/1.1\r\nHost: a\n\r\n${SMUGGLED}`],
  ["a head that ends in CR CR", `GET /a HTTP/1.1\r\nHost: a\r\r${SMUGGLED}`],
  ["a request in a value behind a bare CR", `GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\r${SMUGGLED}\r\n`],
  ["a request in a value behind a NUL", `GET /a HTTP/1.1\r\nHost: a\r\nX: y\0${SMUGGLED}\r\n`],
  [
    "a chunk size beyond 64 bits",
    `${POST}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n${SMUGGLED}`,
  ],
  ["a chunk size with a sign", `${POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n${SMUGGLED}`],
  ["a chunk size with 0x", `${POST}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`],
  ["a chunk size that ends in a bare LF", `${POST}Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n`],
  ["a chunk size with an underscore", `${POST}Transfer-Encoding: chunked\r\n\r\n1_0\r\nhi\r\n0\r\n\r\n`],
  ["white space behind a chunk size", `${POST}Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n`],
  ["white space before a chunk size", `${POST}Transfer-Encoding: chunked\r\n\r\n 2\r\nhi\r\n0\r\n\r\n`],
  ["a chunk extension with a bare LF", `${POST}Transfer-Encoding: chunked\r\n\r\n2;\n${chunk}0\r\n\r\n`],
  ["a chunk extension with a bare CR", `${POST}Transfer-Encoding: chunked\r\n\r\n2;\rhi\r\nhi\r\n0\r\n\r\n`],
  ["a chunk longer than it says", `${POST}Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n${SMUGGLED}`],
  [
    "a chunk that ends in other bytes",
    `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n${SMUGGLED}`,
  ],
  ["a last chunk with a bare LF", `${POST}Transfer-Encoding: chunked\r\n\r\n0\n\n${SMUGGLED}`],
  ["a trailer with a bare LF", `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n${SMUGGLED}`],
  ["a folded trailer", `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n${SMUGGLED}`],
  [
    "a trailer without a colon",
    `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n`,
  ],
  ["HTTP/0.9", "GET /smuggled\r\n\r\n"],
  ["HTTP/0.9 with a body of requests", `POST /a\r\n\r\n${SMUGGLED}`],
  ["two targets in a request line", "GET /a /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["two versions in a request line", "GET /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a tab in a request line", "GET\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a vertical tab in a request line", "GET /a\vHTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a request line that is folded", "GET /a\r\n HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a space before the first field", "GET /a HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n"],
  ["a field before the request line", "X: y\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["two Hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["a Host behind a space", "GET /a HTTP/1.1\r\nHost : a\r\nHost: b\r\n\r\n"],
  ["a Host with a path", "GET /a HTTP/1.1\r\nHost: a/smuggled?\r\n\r\n"],
  ["a Host with a name and an @", "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n"],
  ["an absolute URL with a name and an @", "GET http://a@b/a HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["an absolute URL without a path, but with a space", "GET http://a /a HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a target of another scheme", "GET file:///a HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a fragment in a target", "GET /a#/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["CONNECT", `CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n${SMUGGLED}`, "405"],
  ["connect in lower case", `connect a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n${SMUGGLED}`],
  ["HTTP/2's preface in another version", `PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n${SMUGGLED}`, "505"],
  [
    "an expectation that is almost one",
    `${POST}Expect: y 100-continue\r\nContent-Length: 2\r\n\r\nhi`,
    "417",
  ],
  ["two expectations", `${POST}Expect: 100-continue\r\nExpect: x\r\nContent-Length: 2\r\n\r\nhi`, "417"],
  [
    "a WebSocket handshake with a body",
    `GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
  ],
  [
    "a WebSocket handshake without a key",
    `GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n${SMUGGLED}`,
  ],
  [
    "a WebSocket handshake with two keys",
    `GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${SMUGGLED}`,
  ],
];
for (const [why, bytes, status = "400"] of refused) {
  test(`${why}: ${status}, and no worker hears of it`, async (t) => {
    await underAttack(t, all, attack(bytes, status), 0);
  });
}

const whole = ({ body }: SeenRequest): void => assert.equal(body, SMUGGLED);
const dropped =
  (...names: string[]) =>
  (request: SeenRequest): void => {
    for (const name of names) assert.deepEqual(values(request, name), [], name);
  };
const nothing = (): void => {};

/** What is a request, whatever it carries: a worker sees it once, with its body where it reads one. */
const forwarded: readonly (readonly [
  why: string,
  bytes: string,
  check: (request: SeenRequest) => void,
  status?: string,
])[] = [
  ["requests as a counted body", `${POST}Content-Length: ${N}\r\n\r\n${SMUGGLED}`, whole],
  ["requests as a body in chunks", `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`, whole],
  ["CHUNKED in capitals", `${POST}Transfer-Encoding: CHUNKED\r\n\r\n${chunk}0\r\n\r\n`, whole],
  [
    "a chunk extension that looks like a request",
    `${POST}Transfer-Encoding: chunked\r\n\r\n${N.toString(16)};GET /smuggled HTTP/1.1\r\n${SMUGGLED}\r\n0;x="GET /\r\n\r\n`,
    whole,
  ],
  ["a length with leading zeros", `${POST}Content-Length: 00${N}\r\n\r\n${SMUGGLED}`, whole],
  [
    "Content_Length beside the real one",
    `${POST}Content_Length: 0\r\nContent-Length: ${N}\r\nContent_Length: 0\r\n\r\n${SMUGGLED}`,
    whole,
  ],
  [
    "Transfer_Encoding beside a length",
    `${POST}Content-Length: ${N}\r\nTransfer_Encoding: chunked\r\nTransfer.Encoding: chunked\r\n\r\n${SMUGGLED}`,
    whole,
  ],
  [
    "a length that Connection names",
    `${POST}Connection: content-length\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
    whole,
  ],
  [
    "a coding that Connection names",
    `${POST}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`,
    whole,
  ],
  ["a Host that Connection names", `${POST}Connection: host, via\r\nContent-Length: 0\r\n\r\n`, nothing],
  ...["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"].flatMap((method) => [
    [
      `CL.0: ${method} with a body of requests`,
      `${method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
      nothing,
    ] as const,
    [
      `TE.0: ${method} with requests in chunks`,
      `${method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`,
      nothing,
    ] as const,
  ]),
  [
    "an expectation, and a body of requests that does not wait",
    `${POST}Expect: 100-continue\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
    nothing,
    "200|417",
  ],
  [
    "an expectation, and chunks that do not wait",
    `${POST}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`,
    nothing,
    "200|417",
  ],
  [
    "an expectation without a body",
    "GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    dropped("expect"),
  ],
  [
    "an upgrade to h2c with a body",
    `${POST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
    (request) => {
      whole(request);
      dropped("upgrade", "http2-settings", "connection")(request);
    },
  ],
  [
    "an upgrade by POST",
    `${POST}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
    (request) => {
      whole(request);
      dropped("upgrade")(request);
    },
  ],
  [
    "a WebSocket handshake that the worker does not accept, and a request behind it",
    `GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 777\r\nExpect: 100-continue\r\n\r\n${SMUGGLED}`,
    dropped("expect"),
  ],
  [
    "trailers that would be fields",
    `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: ${N}\r\nHost: evil\r\nAuthorization: x\r\nCookie: x\r\nX-Auth-Email: root\r\nX_Auth_Email: root\r\nExpect: 100-continue\r\nContent-Type: text/html\r\nX-Fine: 1\r\n\r\n`,
    (request) => {
      dropped("content-length", "authorization", "cookie", "expect", "content-type")(request);
      assert.deepEqual(values(request, "x-fine"), ["1"]);
      assert.deepEqual(values(request, "host"), ["a"]);
    },
  ],
  [
    "an absolute URL beside another Host",
    "GET http://b:8080/a?x HTTP/1.1\r\nHost: a\r\n\r\n",
    (request) => assert.deepEqual(values(request, "host"), ["b:8080"]),
  ],
  [
    "an absolute URL of two hosts",
    "GET http://b/a?http://c/ HTTP/1.1\r\nHost: c\r\n\r\n",
    (request) => assert.deepEqual(values(request, "host"), ["b"]),
  ],
];
for (const [why, bytes, check, status = "200"] of forwarded) {
  test(`${why}: one request`, async (t) => {
    for (const request of await underAttack(t, all, attack(bytes, status), 1)) check(request);
  });
}
