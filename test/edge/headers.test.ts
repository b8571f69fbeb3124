import assert from "node:assert/strict";
import { test } from "node:test";
import type { HeaderList, Peer } from "../../edge/exchange.ts";
import type { Caller } from "../../edge/exchange.ts";
import {
  find,
  findAll,
  framing,
  listMembers,
  toClient,
  toWorker,
  trailersToClient,
  trailersToWorker,
} from "../../edge/headers.ts";
import { GET } from "../support/heads.ts";

const PEER: Peer = { address: "10.0.0.9", port: 1234, localAddress: "10.0.0.1", localPort: 8080 };

function worker(
  headers: HeaderList,
  options: { caller?: Caller; trustedHops?: number; authority?: string; peer?: Peer } = {},
): string[] {
  const head = { ...GET, headers, authority: options.authority ?? "example.com" };
  return toWorker(head, options.peer ?? PEER, {
    caller: options.caller,
    trustedHops: options.trustedHops ?? 0,
  });
}

const dropped: [why: string, headers: HeaderList, name: string][] = [
  ["connection", ["connection", "close"], "connection"],
  ["keep-alive", ["keep-alive", "timeout=5"], "keep-alive"],
  ["te", ["te", "trailers"], "te"],
  ["transfer-encoding", ["transfer-encoding", "chunked"], "transfer-encoding"],
  ["upgrade", ["upgrade", "h2c"], "upgrade"],
  ["http2-settings", ["http2-settings", "AAMAAABk"], "http2-settings"],
  ["proxy-authorization", ["proxy-authorization", "Basic x"], "proxy-authorization"],
  ["a field named in Connection", ["connection", "x-hop", "x-hop", "1"], "x-hop"],
  ["a field named in Connection in other letters", ["connection", "X-Hop", "x-hop", "1"], "x-hop"],
  [
    "a field named in a second Connection line",
    ["connection", "close", "connection", "x-hop", "x-hop", "1"],
    "x-hop",
  ],
  ["a forged identity", ["x-auth-email", "root@example.com"], "x-auth-email"],
  ["any x-auth- field", ["x-auth-anything", "1"], "x-auth-anything"],
  ["an identity forged with underscores", ["x_auth_email", "root@example.com"], "x_auth_email"],
  ["an identity forged with a mixed name", ["x-auth_subject", "1"], "x-auth_subject"],
  ["an identity forged with dots", ["x.auth.email", "root@example.com"], "x.auth.email"],
  ["a length forged with an underscore", ["content_length", "5"], "content_length"],
  [
    "the identity that IAP writes",
    ["x-goog-authenticated-user-email", "a"],
    "x-goog-authenticated-user-email",
  ],
  ["the token of Cloud Run's own door", ["x-serverless-authorization", "a"], "x-serverless-authorization"],
  ["another path than it was asked for", ["x-original-url", "/admin"], "x-original-url"],
  ["a proxy to send what it asks for through", ["proxy", "http://evil"], "proxy"],
  [
    "the edge's own credentials, forged",
    ["x-serverless-authorization", "Bearer t"],
    "x-serverless-authorization",
  ],
  ["and with underscores", ["x_serverless_authorization", "Bearer t"], "x_serverless_authorization"],
  ["x-real-ip", ["x-real-ip", "1.2.3.4"], "x-real-ip"],
  ["x-forwarded-prefix", ["x-forwarded-prefix", "/admin"], "x-forwarded-prefix"],
  ["content-length, which framing decides", ["content-length", "5"], "content-length"],
  ["host, which framing decides", ["host", "evil"], "host"],
];
for (const [why, headers, name] of dropped) {
  test(`a worker does not get ${why}`, () => assert.equal(find(worker(headers), name), undefined));
}

test("a worker gets everything else, in order and repeated", () => {
  const mine = [
    "accept",
    "*/*",
    "x-a",
    "1",
    "x-a",
    "2",
    "authorization",
    "Bearer t",
    "expect",
    "100-continue",
  ];
  assert.deepEqual(worker(mine).slice(0, mine.length), mine);
});

test("forwarding fields are the edge's own, whatever the client wrote", () => {
  const out = worker([
    "x-forwarded-for",
    "6.6.6.6",
    "x-forwarded-proto",
    "https",
    "x-forwarded-host",
    "evil",
    "forwarded",
    "for=6.6.6.6",
  ]);
  assert.deepEqual(findAll(out, "x-forwarded-for"), ["10.0.0.9"]);
  assert.deepEqual(findAll(out, "x-forwarded-proto"), ["http"]);
  assert.deepEqual(findAll(out, "x-forwarded-host"), ["example.com"]);
  assert.deepEqual(findAll(out, "forwarded"), ['for=10.0.0.9;proto=http;host="example.com"']);
});

const trusted: [why: string, hops: number, headers: HeaderList, address: string, proto: string][] = [
  [
    "the address the one proxy appended",
    1,
    ["x-forwarded-for", "6.6.6.6, 203.0.113.7", "x-forwarded-proto", "https"],
    "203.0.113.7",
    "https",
  ],
  [
    "the second from the right behind two proxies",
    2,
    ["x-forwarded-for", "6.6.6.6, 203.0.113.7, 35.0.0.1"],
    "203.0.113.7",
    "http",
  ],
  [
    "the only one when there are fewer than hops",
    2,
    ["x-forwarded-for", "203.0.113.7"],
    "203.0.113.7",
    "http",
  ],
  [
    "several lines as one list",
    1,
    ["x-forwarded-for", "6.6.6.6", "x-forwarded-for", "203.0.113.7"],
    "203.0.113.7",
    "http",
  ],
  ["an IPv6 address", 1, ["x-forwarded-for", "2001:db8::1"], "2001:db8::1", "http"],
  ["the peer when the proxy wrote no address", 1, ["x-forwarded-for", "unknown"], "10.0.0.9", "http"],
  ["the peer when the proxy wrote nothing", 1, [], "10.0.0.9", "http"],
  ["http for a scheme that is none", 1, ["x-forwarded-proto", 'https";evil'], "10.0.0.9", "http"],
];
for (const [why, trustedHops, headers, address, proto] of trusted) {
  test(`behind trusted proxies the client is ${why}`, () => {
    const out = worker(headers, { trustedHops });
    assert.deepEqual([find(out, "x-forwarded-for"), find(out, "x-forwarded-proto")], [address, proto]);
  });
}

test("a quote in the authority cannot add a Forwarded parameter (RFC 7239, section 4)", () => {
  assert.equal(
    find(worker([], { authority: 'a";for=evil' }), "forwarded"),
    'for=10.0.0.9;proto=http;host="a\\";for=evil"',
  );
});

test("an IPv6 client is bracketed and quoted in Forwarded (RFC 7239, section 6)", () => {
  const out = worker([], { peer: { ...PEER, address: "2001:db8::1" } });
  assert.match(find(out, "forwarded") ?? "", /^for="\[2001:db8::1\]";/);
});

test("Via grows by one entry (RFC 9110, section 7.6.3)", () => {
  assert.equal(find(worker(["via", "1.1 front"]), "via"), "1.1 front, 1.1 oneport");
});

test("a verified caller is named", () => {
  const out = worker(["x-auth-email", "forged@example.com"], {
    caller: { email: "a@example.com", subject: "42" },
  });
  assert.deepEqual(findAll(out, "x-auth-email"), ["a@example.com"]);
  assert.deepEqual(findAll(out, "x-auth-subject"), ["42"]);
});

test("a client gets everything but the hop-by-hop fields", () => {
  const reply = [
    "connection",
    "x-hop",
    "x-hop",
    "1",
    "keep-alive",
    "timeout=5",
    "transfer-encoding",
    "chunked",
    "set-cookie",
    "a",
    "set-cookie",
    "b",
  ];
  assert.deepEqual(toClient(reply), ["set-cookie", "a", "set-cookie", "b"]);
});

test("a request's trailers carry no identity, framing or routing", () => {
  const trailers = [
    "x-checksum",
    "1",
    "x-auth-email",
    "root",
    "content-length",
    "5",
    "host",
    "evil",
    "authorization",
    "Bearer t",
    "x-forwarded-for",
    "6.6.6.6",
  ];
  assert.deepEqual(trailersToWorker(trailers), ["x-checksum", "1"]);
});

test("a reply's trailers keep all a worker may say", () => {
  assert.deepEqual(trailersToClient(["grpc-status", "0", "x-auth-note", "1", "transfer-encoding", "x"]), [
    "grpc-status",
    "0",
    "x-auth-note",
    "1",
  ]);
});

const frames: [why: string, method: string, hasBody: boolean, length: string | undefined, want: string[]][] =
  [
    ["a GET without a body", "GET", false, undefined, []],
    ["a POST without a body", "POST", false, undefined, ["content-length", "0"]],
    ["a DELETE that says it is empty", "DELETE", false, "0", ["content-length", "0"]],
    ["a DELETE with a body of unknown length", "DELETE", true, undefined, ["transfer-encoding", "chunked"]],
    ["a GET with a body", "GET", true, "5", ["content-length", "5"]],
  ];
for (const [why, method, hasBody, length, want] of frames) {
  test(`frames ${why}`, () => assert.deepEqual(framing(method, hasBody, length), want));
}

test("list members are trimmed and empty ones skipped", () => {
  assert.deepEqual(listMembers(["a", "x, ,y", "a", "z"], "a"), ["x", "y", "z"]);
});
