// HTTP/2 on its way to HTTP/1.1 workers that read as carelessly as any: whatever is in a field, a frame or a trailer, a worker
// sees one request of it, or none.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { END_HEADERS, END_STREAM, FrameClient, fields, frame } from "../../support/frames.ts";
import type { Attack, Front } from "../../support/hostile.ts";
import { SMUGGLED, fronts, underAttack } from "../../support/hostile.ts";
import type { SeenRequest } from "../../support/lenient-worker.ts";
import { values } from "../../support/lenient-worker.ts";
import { suiteScope } from "../../support/suite.ts";

let all: readonly Front[];
const suite = suiteScope();
before(async () => {
  all = await fronts(suite, ["direct"]);
});

type Field = readonly [name: string, value: string];

/** A request of this head, and the DATA and trailers that follow it. */
interface Sent {
  readonly head: readonly Field[];
  readonly data?: string;
  readonly trailers?: readonly Field[];
}

/** What a head has that is as it should be; a name in `other` replaces it, with undefined it is left out. */
function head(
  other: Readonly<Record<string, string | undefined>>,
  ...more: readonly Field[]
): readonly Field[] {
  const usual = { ":method": "GET", ":scheme": "http", ":path": "/a", ":authority": "a" };
  const pseudo = Object.entries({ ...usual, ...other });
  return [
    ...pseudo.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
    ...more,
  ];
}

function attack({ head: list, data, trailers }: Sent, answer: RegExp): Attack {
  return async (t, port) => {
    const client = new FrameClient(t, port);
    const more = data !== undefined || trailers !== undefined;
    const frames = [frame("HEADERS", END_HEADERS | (more ? 0 : END_STREAM), 1, fields(...list))];
    if (data !== undefined) frames.push(frame("DATA", trailers === undefined ? END_STREAM : 0, 1, data));
    if (trailers !== undefined)
      frames.push(frame("HEADERS", END_HEADERS | END_STREAM, 1, fields(...trailers)));
    client.open(...frames);
    await client.until(answer);
    client.socket.destroy();
  };
}

const POST = { ":method": "POST" };
const N = SMUGGLED.length;
const SPLIT = `x\r\n\r\n${SMUGGLED}`;

/** The characters that end a line, a name or a target somewhere, in every place that a client can write to. */
const places: readonly (readonly [where: string, write: (text: string) => readonly Field[]])[] = [
  ["a value", (text) => head({}, ["x-a", text])],
  ["a name", (text) => head({}, [text, "x"])],
  [":method", (text) => head({ ":method": text })],
  [":path", (text) => head({ ":path": `/a${text}` })],
  [":authority", (text) => head({ ":authority": text })],
  [":scheme", (text) => head({ ":scheme": text })],
  [":protocol", (text) => head({ ":method": "CONNECT", ":protocol": text })],
  ["host", (text) => head({ ":authority": undefined }, ["host", text])],
  ["cookie", (text) => head({}, ["cookie", "a=b"], ["cookie", text])],
];
const breaks: readonly (readonly [what: string, text: string])[] = [
  ["CRLF and a request", SPLIT],
  ["LF and a field", "x\ntransfer-encoding: chunked"],
  ["CR and a field", "x\rtransfer-encoding: chunked"],
  ["NUL", "x\0y"],
  ["a vertical tab", "x\vy"],
  ["DEL", "x\x7fy"],
];
const broken = places.flatMap(([where, write]) =>
  breaks.map(([what, text]) => [`${what} in ${where}`, { head: write(text) }] as const),
);

/** What is refused before a worker hears of it, or broken off before it was one. */
const refused: readonly (readonly [why: string, sent: Sent])[] = [
  ...broken,
  ["a space in :method", { head: head({ ":method": "GET /smuggled" }) }],
  ["a space in :path", { head: head({ ":path": "/a HTTP/1.1" }) }],
  ["a tab in :path", { head: head({ ":path": "/a\tx" }) }],
  ["an absolute :path", { head: head({ ":path": "http://b/smuggled" }) }],
  ["a :path without a slash", { head: head({ ":path": "smuggled" }) }],
  ["an empty :path", { head: head({ ":path": "" }) }],
  ["no :path", { head: head({ ":path": undefined }) }],
  ["a fragment in :path", { head: head({ ":path": "/a#/smuggled" }) }],
  ["* for a GET", { head: head({ ":path": "*" }) }],
  ["a space in :authority", { head: head({ ":authority": "a b" }) }],
  ["a path in :authority", { head: head({ ":authority": "a/smuggled?" }) }],
  ["a name and an @ in :authority", { head: head({ ":authority": "a@b" }) }],
  ["a comma-less list in host", { head: head({ ":authority": undefined }, ["host", "a b"]) }],
  ["a path in host", { head: head({ ":authority": undefined }, ["host", "a/smuggled?"]) }],
  ["a host that is not :authority", { head: head({}, ["host", "b"]) }],
  ["two hosts", { head: head({ ":authority": undefined }, ["host", "a"], ["host", "b"]) }],
  ["two :authority", { head: [...head({}), [":authority", "b"]] }],
  ["two :path", { head: [...head({}), [":path", "/smuggled"]] }],
  ["a URL as :scheme", { head: head({ ":scheme": "http://a/smuggled?" }) }],
  [":path behind a field", { head: [...head({ ":path": undefined }, ["x", "y"]), [":path", "/a"]] }],
  ["an unknown pseudo-header field", { head: [...head({}), [":host", "b"]] }],
  ["a colon in a name", { head: head({}, ["x:y", "z"]) }],
  ["a space in a name", { head: head({}, ["transfer-encoding ", "chunked"]) }],
  ["an empty name", { head: head({}, ["", "z"]) }],
  ["a capital in a name", { head: head({}, ["X-a", "z"]) }],
  ["Transfer-Encoding in capitals", { head: head(POST, ["Transfer-Encoding", "chunked"]), data: SMUGGLED }],
  ["H2.TE", { head: head(POST, ["transfer-encoding", "chunked"]), data: `0\r\n\r\n${SMUGGLED}` }],
  ["H2.TE: another coding", { head: head(POST, ["transfer-encoding", "x"]), data: SMUGGLED }],
  ["connection", { head: head({}, ["connection", "x-auth-email"]) }],
  ["proxy-connection", { head: head({}, ["proxy-connection", "keep-alive"]) }],
  ["keep-alive", { head: head({}, ["keep-alive", "timeout=5"]) }],
  ["upgrade", { head: head({}, ["upgrade", "h2c"]) }],
  ["te: chunked", { head: head({}, ["te", "chunked"]) }],
  ["H2.CL: nothing promised", { head: head(POST, ["content-length", "0"]), data: SMUGGLED }],
  ["H2.CL: less promised", { head: head(POST, ["content-length", "5"]), data: SMUGGLED }],
  ["H2.CL: more promised", { head: head(POST, ["content-length", `${N + 1}`]), data: SMUGGLED }],
  ["H2.CL: promised, but ended", { head: head(POST, ["content-length", "5"]) }],
  [
    "H2.CL: two that differ",
    { head: head(POST, ["content-length", `${N}`], ["content-length", "0"]), data: SMUGGLED },
  ],
  ["H2.CL: a sign", { head: head(POST, ["content-length", `+${N}`]), data: SMUGGLED }],
  ["H2.CL: a list", { head: head(POST, ["content-length", `${N}, ${N}`]), data: SMUGGLED }],
  ["H2.CL: hexadecimal", { head: head(POST, ["content-length", `0x${N.toString(16)}`]), data: SMUGGLED }],
  [
    "H2.CL: less promised, and trailers",
    { head: head(POST, ["content-length", "5"]), data: SMUGGLED, trailers: [["x", "y"]] },
  ],
  ["connection in trailers", { head: head(POST), data: "", trailers: [["connection", "x"]] }],
  ["transfer-encoding in trailers", { head: head(POST), data: "", trailers: [["transfer-encoding", "x"]] }],
  [":path in trailers", { head: head(POST), data: "", trailers: [[":path", "/smuggled"]] }],
  ["CRLF in a trailer's value", { head: head(POST), data: "x", trailers: [["x", SPLIT]] }],
  ["CRLF in a trailer's name", { head: head(POST), data: "x", trailers: [[SPLIT, "x"]] }],
  ["a control character in a trailer", { head: head(POST), data: "x", trailers: [["x", "a\vb"]] }],
  ["a capital in a trailer's name", { head: head(POST), data: "x", trailers: [["Host", "b"]] }],
  [
    "CONNECT",
    {
      head: [
        [":method", "CONNECT"],
        [":authority", "a:80"],
      ],
    },
  ],
  ["CONNECT with a path", { head: head({ ":method": "CONNECT" }) }],
  ["connect in lower case", { head: head({ ":method": "connect" }) }],
  [":protocol without CONNECT", { head: head({ ":protocol": "websocket" }) }],
  ["extended CONNECT to another protocol", { head: head({ ":method": "CONNECT", ":protocol": "h2c" }) }],
  ["an expectation that nobody knows", { head: head(POST, ["expect", "y 100-continue"]), data: SMUGGLED }],
  ["two expectations", { head: head(POST, ["expect", "100-continue"], ["expect", "x"]), data: SMUGGLED }],
];
for (const [why, sent] of refused) {
  test(`${why}: refused, and no worker hears of it`, async (t) => {
    await underAttack(t, all, attack(sent, /^RST_STREAM 1 |^HEADERS 1|^GOAWAY /), 0);
  });
}

const nothing = (): void => {};
const whole = ({ body }: SeenRequest): void => assert.equal(body, SMUGGLED);

/** What is a request, whatever it carries. */
const forwarded: readonly (readonly [why: string, sent: Sent, check: (request: SeenRequest) => void])[] = [
  ["requests as a body", { head: head(POST), data: SMUGGLED }, whole],
  ["requests as a counted body", { head: head(POST, ["content-length", `${N}`]), data: SMUGGLED }, whole],
  ["a length with leading zeros", { head: head(POST, ["content-length", `00${N}`]), data: SMUGGLED }, whole],
  [
    "the same length twice",
    {
      head: head(POST, ["content-length", `${N}`], ["content-length", `${N}`]),
      data: SMUGGLED,
    },
    whole,
  ],
  ["content_length beside none", { head: head(POST, ["content_length", "5"]), data: SMUGGLED }, whole],
  [
    "transfer_encoding",
    { head: head(POST, ["transfer_encoding", "x"], ["content-length", `${N}`]), data: SMUGGLED },
    whole,
  ],
  ...["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"].flatMap((method) => [
    [
      `H2.0: ${method} with a body of requests`,
      { head: head({ ":method": method }), data: SMUGGLED },
      nothing,
    ] as const,
    [
      `H2.0: ${method} with a counted body of requests`,
      { head: head({ ":method": method }, ["content-length", `${N}`]), data: SMUGGLED },
      nothing,
    ] as const,
  ]),
  ["an expectation", { head: head(POST, ["expect", "100-continue"]), data: SMUGGLED }, nothing],
  [
    "an expectation without a body",
    { head: head({}, ["expect", "100-continue"]) },
    (request) => assert.deepEqual(values(request, "expect"), []),
  ],
  [
    "http2-settings",
    { head: head({}, ["http2-settings", "AAMAAABk"]) },
    (request) => {
      assert.deepEqual(values(request, "http2-settings"), []);
    },
  ],
  ["the host twice, once as :authority", { head: head({ ":authority": "A" }, ["host", "a"]) }, nothing],
  [
    "trailers that would be fields",
    {
      head: head(POST),
      data: SMUGGLED,
      trailers: [
        ["content-length", "5"],
        ["host", "evil"],
        ["authorization", "x"],
        ["x-auth-email", "root"],
        ["x_auth_email", "root"],
        ["x-fine", "1"],
      ],
    },
    (request) => {
      whole(request);
      for (const name of ["content-length", "authorization"]) assert.deepEqual(values(request, name), []);
      assert.deepEqual(values(request, "x-fine"), ["1"]);
    },
  ],
  [
    "an extended CONNECT that the worker does not accept, and a request behind it",
    {
      head: head(
        { ":method": "CONNECT", ":protocol": "websocket" },
        ["sec-websocket-version", "777"],
        ["expect", "x"],
      ),
      data: SMUGGLED,
    },
    (request) => assert.deepEqual(values(request, "expect"), []),
  ],
];
for (const [why, sent, check] of forwarded) {
  test(`${why}: one request`, async (t) => {
    const seen = await underAttack(t, all, attack(sent, /^HEADERS 1[^]*|^(HEADERS|DATA) 1.* END_STREAM/), 1);
    for (const request of seen) check(request);
  });
}
