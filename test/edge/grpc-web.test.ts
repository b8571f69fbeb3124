import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import type { RequestHead } from "../../edge/exchange.ts";
import { HeadMemo } from "../../edge/exchange.ts";
import { Base64Reader, Base64Writer } from "../../edge/grpc-web/base64.ts";
import { Credit } from "../../edge/grpc-web/credit.ts";
import { grpcWebHead } from "../../edge/grpc-web/head.ts";
import { MessageCounter } from "../../edge/grpc-web/messages.ts";
import { trailersFrame } from "../../edge/grpc-web/trailers.ts";
import { GET, fields, lines } from "../support/heads.ts";

/** A text cut at every place: whole, byte by byte, and in two pieces. */
function cuts(text: Buffer): Buffer[][] {
  const two = Array.from(text, (_, at) => [text.subarray(0, at), text.subarray(at)]);
  return [[text], Array.from(text, (_, at) => text.subarray(at, at + 1)), ...two];
}

function readAll(pieces: readonly Buffer[]): { bytes: string; complete: boolean } {
  const reader = new Base64Reader();
  const bytes = Buffer.concat(pieces.map((piece) => reader.read(piece))).toString("latin1");
  return { bytes, complete: reader.isBetween };
}

const texts: [why: string, text: string, bytes: string, complete?: boolean][] = [
  ["nothing", "", ""],
  ["a group", "Zm9v", "foo"],
  ["one padded byte", "Zg==", "f"],
  ["two padded bytes", "Zm8=", "fo"],
  ["padding within", "Zg==Zm8=Zm9vZg==", "ffofoof"],
  ["every bit", "//79+/o=", "\xff\xfe\xfd\xfb\xfa"],
  ["what is not complete", "Zm9vZm", "foo", false],
  ["padding that is not complete", "Zm9vZg=", "foo", false],
];
for (const [why, text, bytes, complete = true] of texts)
  test(`base64 with ${why} is read, however it is cut`, () => {
    for (const pieces of cuts(Buffer.from(text))) assert.deepEqual(readAll(pieces), { bytes, complete });
  });

for (const text of ["Zm9v\n", "Zm-v", "Zm9v!", "=m9v", "Z===", "Zg=v", "Zm9\u00ff", "Zg===g=="])
  test(`base64 does not hold ${JSON.stringify(text)}, however it is cut`, () => {
    for (const pieces of cuts(Buffer.from(text, "latin1")))
      assert.throws(
        () => readAll(pieces),
        (thrown) => thrown instanceof EdgeError && thrown.code === "bad_request",
      );
  });

test("base64 is written so that each piece can be read alone, and only what is whole is padded", () => {
  const writer = new Base64Writer();
  const pieces: [chunk: string, whole: boolean, text: string][] = [
    ["foo", false, "Zm9v"],
    ["f", false, ""],
    ["oo", false, "Zm9v"],
    ["foof", true, "Zm9vZg=="],
    ["fo", false, ""],
    ["", true, "Zm8="],
  ];
  for (const [chunk, whole, text] of pieces)
    assert.equal(writer.write(Buffer.from(chunk), whole).toString(), text);
});

/** A message with a flag. */
function message(flag: number, bytes: number): Buffer {
  const all = Buffer.alloc(5 + bytes, 0x80);
  all[0] = flag;
  all.writeUInt32BE(bytes, 1);
  return all;
}

const streams: [why: string, bytes: Buffer, passes: number, into: number][] = [
  ["nothing", Buffer.alloc(0), 0, 0],
  ["an empty message", message(0, 0), 5, 0],
  ["messages one after the other", Buffer.concat([message(0, 3), message(1, 0), message(0, 300)]), 318, 0],
  ["half a prefix", Buffer.concat([message(0, 3), message(0, 9).subarray(0, 4)]), 12, 4],
  ["half a message", message(0, 9).subarray(0, 8), 8, 8],
  ["a message marked as trailers", Buffer.concat([message(0, 3), message(0x80, 9)]), 8, 0],
  ["a compressed message marked as trailers", message(0x81, 9), 0, 0],
  ["a length of four bytes", Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2]), 7, 7],
];
for (const [why, bytes, passes, into] of streams)
  test(`of ${why} ${passes} bytes pass, however they are cut`, () => {
    for (const pieces of cuts(bytes)) {
      const counter = new MessageCounter();
      let passed = 0;
      for (const piece of pieces) {
        const fits = counter.pass(piece);
        passed += fits;
        if (fits < piece.length) break;
      }
      assert.deepEqual([passed, counter.into], [passes, into]);
    }
  });

test("trailers are a frame with a line each, equal names together, bytes as they are", () => {
  const frame = trailersFrame([
    "grpc-status",
    "0",
    "a",
    "1",
    "grpc-message",
    "%C3%A9",
    "a",
    "2",
    "b",
    "\xe9",
  ]);
  const lines = "grpc-status: 0\r\na: 1, 2\r\ngrpc-message: %C3%A9\r\nb: \xe9\r\n";
  assert.equal(frame.toString("latin1"), `\x80\0\0\0${String.fromCharCode(lines.length)}${lines}`);
});

test("trailers that would be several lines are refused", () => {
  assert.throws(
    () => trailersFrame(["a", "1\r\ngrpc-status: 0"]),
    (thrown) => thrown instanceof EdgeError && thrown.code === "upstream_garbage",
  );
});

test("credit comes back in the measure in which what was made has left, and all of it in the end", () => {
  const credit = new Credit();
  credit.add(300, 400);
  assert.equal(credit.give(100), 75);
  assert.equal(credit.give(0), 0);
  credit.add(2, 0);
  credit.add(298, 400);
  assert.equal(credit.give(300), 225);
  assert.equal(credit.give(400), 300);
  credit.add(3, 0);
  assert.equal(credit.give(0), 3);
});

const typed = (...headers: string[]): RequestHead => ({ ...GET, method: "POST", headers });

const types: [headers: string[], sendsText: boolean, replyType: string, toWorker: string][] = [
  [["application/grpc-web"], false, "application/grpc-web", "application/grpc"],
  [["application/grpc-web+proto"], false, "application/grpc-web+proto", "application/grpc+proto"],
  [["application/grpc-web+json; a=b"], false, "application/grpc-web+json", "application/grpc+json"],
  [["Application/GRPC-Web-Text"], true, "application/grpc-web-text", "application/grpc"],
  [["application/grpc-web-text+proto"], true, "application/grpc-web-text+proto", "application/grpc+proto"],
  [["application/grpc-web-text", "*/*"], true, "application/grpc-web-text", "application/grpc"],
  [
    ["application/grpc-web", "text/html, application/grpc-web-text"],
    false,
    "application/grpc-web-text",
    "application/grpc",
  ],
  [["application/grpc-web-text", "application/grpc-web"], true, "application/grpc-web", "application/grpc"],
];
for (const [[type = "", accept], sendsText, replyType, toWorker] of types)
  test(`${type}${accept === undefined ? "" : ` that accepts ${accept}`} is answered as ${replyType}`, () => {
    const headers = ["content-type", type, ...(accept === undefined ? [] : ["accept", accept])];
    const web = grpcWebHead(typed(...headers));
    assert.deepEqual(
      [web.sendsText, web.wantsText, web.replyType, web.head.headers],
      [sendsText, replyType.includes("-text"), replyType, ["content-type", toWorker]],
    );
  });

test("a worker gets metadata, but not how the call was carried", () => {
  const asked = fields(
    "x-grpc-web: 1",
    "accept-encoding: gzip",
    "content-type: application/grpc-web",
    "accept: */*",
    "x-user-agent: grpc-web-javascript/0.1",
    "grpc-timeout: 1S",
    "a-bin: AAE=",
  );
  assert.deepEqual(lines(grpcWebHead(typed(...asked)).head.headers), [
    "content-type: application/grpc",
    "x-user-agent: grpc-web-javascript/0.1",
    "grpc-timeout: 1S",
    "a-bin: AAE=",
  ]);
});

test("a head that comes again is the same call, with a memo of its own", () => {
  const head = { ...typed("content-type", "application/grpc-web"), memo: new HeadMemo() };
  const web = grpcWebHead(head);
  assert.equal(grpcWebHead(head), web);
  assert.notEqual(web.head.memo, head.memo);
});
