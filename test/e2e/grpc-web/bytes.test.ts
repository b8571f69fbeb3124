import { once } from "node:events";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { FAILURES } from "../../../edge/errors.ts";
import { RawClient } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { END_HEADERS, END_STREAM, fields, frame } from "../../support/frames.ts";
import { message, withWorker } from "../../support/grpc.ts";
import { BINARY, TEXT, WebCall, trailers, webCall } from "../../support/grpc-web.ts";
import { startWorker } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { http2Worker, rawWorker, readAll } from "../../support/workers.ts";

/** The edge in front of the real gRPC worker. */
let port: number;
const suite = suiteScope();
before(async () => {
  const grpc = await startWorker(suite, "grpc");
  ({ port } = await testEdge(suite, { GRPC_UPSTREAMS: `h2c://127.0.0.1:${grpc}` }));
});

const PONG = `\0\0\0\0\x06\x0a\x04pong`;
const OK = trailers("grpc-status: 0", "grpc-message: OK");

/** Answers a stream as a gRPC worker does, but for its end. */
function begin(stream: ServerHttp2Stream, ...messages: readonly Buffer[]): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  for (const bytes of messages) stream.write(bytes);
}

function endWith(stream: ServerHttp2Stream, fields: Record<string, string>): void {
  stream.once("wantTrailers", () => stream.sendTrailers(fields));
  stream.end();
}

const fromBase64 = (text: Buffer): string =>
  (text.toString("latin1").match(/[^=]+=*/g) ?? [])
    .map((part) => Buffer.from(part, "base64").toString("latin1"))
    .join("");

for (const version of ["1.1", "2"] as const) {
  const over = `over HTTP/${version}`;

  test(`a unary call ${over}: a message, then the trailers' frame`, async (t) => {
    const reply = await webCall(t, port, version, message(0));
    assert.deepEqual([reply.status, reply.over], [200, "complete"]);
    assert.equal(reply.headers["content-type"], "application/grpc-web+proto");
    assert.equal(reply.headers["content-length"], undefined);
    assert.equal(reply.body.toString("latin1"), PONG + OK);
  });

  test(`a unary call in base64 ${over}, padded within on both ways`, async (t) => {
    // "\0\0" and "\0\0\0" as two texts.
    const reply = await webCall(t, port, version, "AAA=AAAA", { headers: TEXT });
    assert.deepEqual([reply.over, reply.headers["content-type"]], ["complete", "application/grpc-web-text"]);
    assert.match(reply.body.toString(), /^AAAAAAYKBHBvbmc=[^=]+=*$/);
    assert.equal(fromBase64(reply.body), PONG + OK);
  });

  test(`base64 that comes byte by byte ${over}`, async (t) => {
    const call = new WebCall(t, port, version, { headers: TEXT });
    for (const character of "AAAAAAA=") call.send(character);
    call.end();
    assert.equal(await call.over, "complete");
    assert.equal(fromBase64(call.body), PONG + OK);
  });

  for (const headers of [BINARY, TEXT])
    test(`a message arrives before the next one is there: ${headers["content-type"]} ${over}`, async (t) => {
      const streams = Promise.withResolvers<ServerHttp2Stream>();
      const edge = await withWorker(t, (stream) => streams.resolve(stream));
      const isText = headers === TEXT;
      const call = new WebCall(t, edge.port, version, { headers })
        .send(isText ? "AAAAAAA=" : message(0))
        .end();
      const stream = await streams.promise;
      begin(stream);
      assert.equal((await call.head).status, 200);
      for (const [at, bytes] of [message(1), message(2), message(3)].entries()) {
        stream.write(bytes);
        // 6, 7 and 8 bytes: 8, 12 and 12 characters, each padded for itself.
        const sum = (isText ? [8, 20, 32] : [6, 13, 21])[at] ?? 0;
        assert.equal((await call.until(sum)).length, sum);
      }
      endWith(stream, { "grpc-status": "0" });
      assert.equal(await call.over, "complete");
      const bytes = isText ? fromBase64(call.body) : call.body.toString("latin1");
      assert.equal(bytes.slice(21), trailers("grpc-status: 0"));
    });

  test(`a message in pieces is padded at its end alone ${over}`, async (t) => {
    const streams = Promise.withResolvers<ServerHttp2Stream>();
    const edge = await withWorker(t, (stream) => streams.resolve(stream));
    const call = new WebCall(t, edge.port, version, { headers: TEXT }).end();
    const stream = await streams.promise;
    begin(stream);
    stream.write(message(5).subarray(0, 7));
    assert.equal((await call.until(8)).toString(), "AAAAAAUA");
    stream.write(message(5).subarray(7));
    assert.equal((await call.until(16)).toString(), "AAAAAAUAAAAAAA==");
    stream.close();
  });

  test(`a failed call ${over} is trailers-only: its head says why`, async (t) => {
    const edge = await withWorker(t, (stream) =>
      stream.respond(
        {
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-status": "5",
          "grpc-message": "not %C3%A9",
          "grpc-status-details-bin": "AAE=",
        },
        { endStream: true },
      ),
    );
    const { status, headers, body, over: end } = await webCall(t, edge.port, version, message(0));
    assert.deepEqual(
      [
        status,
        headers["grpc-status"],
        headers["grpc-message"],
        headers["grpc-status-details-bin"],
        body.length,
        end,
      ],
      [200, "5", "not %C3%A9", "AAE=", 0, "complete"],
    );
  });

  test(`a call that fails after a message ${over} says so in its trailers`, async (t) => {
    const edge = await withWorker(t, (stream) => {
      begin(stream, message(3));
      endWith(stream, {
        "grpc-status": "5",
        "grpc-message": "not %C3%A9",
        "grpc-status-details-bin": "AAE=",
      });
    });
    const { body, headers, over: end } = await webCall(t, edge.port, version, message(0));
    const said = trailers("grpc-status: 5", "grpc-message: not %C3%A9", "grpc-status-details-bin: AAE=");
    assert.deepEqual(
      [body.toString("latin1"), headers["grpc-status"], end],
      [message(3).toString("latin1") + said, undefined, "complete"],
    );
  });

  test(`a status that comes with a head that is not the end ${over} is told at the end`, async (t) => {
    const edge = await withWorker(t, (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0", a: "1" });
      stream.write(message(3));
      stream.on("data", () => stream.end());
    });
    const call = new WebCall(t, edge.port, version).send(message(0));
    const { headers } = await call.head;
    assert.deepEqual([headers["grpc-status"], headers["a"]], [undefined, "1"]);
    call.end();
    assert.equal(await call.over, "complete");
    assert.equal(call.body.toString("latin1").slice(8), trailers("grpc-status: 0"));
  });

  test(`the deadline ${over}: DEADLINE_EXCEEDED, and the worker is told to stop`, async (t) => {
    const cancelled = Promise.withResolvers<number>();
    const edge = await withWorker(t, (stream, { "grpc-timeout": timeout }) => {
      stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
      if (!/^[0-9]+m$/.test(String(timeout))) stream.close();
    });
    const reply = await webCall(t, edge.port, version, message(0), {
      headers: { ...BINARY, "grpc-timeout": "500m" },
    });
    assert.deepEqual([reply.status, reply.headers["grpc-status"], reply.over], [200, "4", "complete"]);
    assert.equal(await cancelled.promise, 8);
    const line = await edge.logged(({ outcome }) => outcome === "deadline");
    assert.equal(line["route"], "grpc-web");
  });

  test(`the deadline between two messages ${over}: trailers with DEADLINE_EXCEEDED`, async (t) => {
    const edge = await withWorker(t, (stream) => begin(stream, message(3)));
    const reply = await webCall(t, edge.port, version, message(0), {
      headers: { ...BINARY, "grpc-timeout": "500m" },
    });
    const said = trailers("grpc-status: 4", `grpc-message: ${FAILURES.deadline.text}`);
    assert.deepEqual(
      [reply.body.toString("latin1"), reply.over],
      [message(3).toString("latin1") + said, "complete"],
    );
  });

  test(`a client that leaves ${over}: the worker's stream is reset with CANCEL`, async (t) => {
    const cancelled = Promise.withResolvers<number>();
    const edge = await withWorker(t, (stream) => {
      stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
      begin(stream, message(3));
    });
    const call = new WebCall(t, edge.port, version).send(message(0)).end();
    await call.until(8);
    call.leave();
    assert.equal(await cancelled.promise, 8);
    await edge.logged(({ outcome }) => outcome === "client_gone");
  });

  test(`a worker that dies between two messages ${over}: trailers with UNAVAILABLE`, async (t) => {
    const streams = Promise.withResolvers<ServerHttp2Stream>();
    const edge = await withWorker(t, (stream) => streams.resolve(stream));
    const call = new WebCall(t, edge.port, version).send(message(0)).end();
    const stream = await streams.promise;
    begin(stream, message(3));
    await call.until(8);
    stream.session?.destroy();
    assert.equal(await call.over, "complete");
    assert.match(call.body.toString("latin1").slice(8), /^\x80\0\0\0.grpc-status: 14\r\ngrpc-message: /s);
  });

  /** What a worker does once the client has half of its message. */
  const cuts: [
    why: string,
    act: (stream: ServerHttp2Stream) => void,
    headers: Record<string, string>,
    outcome: string,
  ][] = [
    ["dies within a message", (stream) => stream.session?.destroy(), {}, "upstream_reset"],
    // So long that half of the message is there by then, on a machine that is busy as well.
    ["is late within a message", () => {}, { "grpc-timeout": "2S" }, "deadline"],
    [
      "ends within a message, and calls that OK",
      (stream) => endWith(stream, { "grpc-status": "0" }),
      {},
      "upstream_garbage",
    ],
  ];
  for (const [why, act, more, outcome] of cuts)
    for (const kind of [BINARY, TEXT])
      test(`the reply of a worker that ${why} is cut: ${kind["content-type"]} ${over}`, async (t) => {
        const streams = Promise.withResolvers<ServerHttp2Stream>();
        const edge = await withWorker(t, (stream) => streams.resolve(stream));
        const call = new WebCall(t, edge.port, version, { headers: { ...kind, ...more } }).end();
        const stream = await streams.promise;
        begin(stream, message(3), message(60).subarray(0, 20));
        // More than the first message, binary or not.
        await call.until(13);
        act(stream);
        assert.equal(await call.over, "cut");
        assert.doesNotMatch(
          kind === TEXT ? fromBase64(call.body) : call.body.toString("latin1"),
          /grpc-status/,
        );
        await edge.logged((line) => line["outcome"] === outcome);
      });

  test(`a message that would be read as trailers ${over} ends the call with INTERNAL`, async (t) => {
    const cancelled = Promise.withResolvers<number>();
    const forged = Buffer.from(trailers("grpc-status: 0"), "latin1");
    const edge = await withWorker(t, (stream) => {
      stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
      begin(stream, Buffer.concat([message(1), forged]));
    });
    const reply = await webCall(t, edge.port, version, message(0));
    assert.equal(reply.body.subarray(0, 6).toString("latin1"), "\0\0\0\0\x01\0");
    assert.match(reply.body.toString("latin1").slice(6), /^\x80\0\0\0.grpc-status: 13\r\n/s);
    assert.equal(await cancelled.promise, 8);
    await edge.logged(({ outcome }) => outcome === "upstream_garbage");
  });

  test(`a call is carried as it comes ${over}: the reply need not wait for the request's end`, async (t) => {
    const edge = await withWorker(t, (stream) => {
      begin(stream);
      stream.on("data", (chunk: Buffer) => stream.write(chunk));
      stream.on("end", () => endWith(stream, { "grpc-status": "0" }));
    });
    const call = new WebCall(t, edge.port, version).send(message(1));
    await call.until(6);
    call.send(message(2));
    await call.until(13);
    call.end();
    assert.equal(await call.over, "complete");
    assert.equal(call.body.toString("latin1").slice(13), trailers("grpc-status: 0"));
  });

  test(`a client that breaks off in the middle of its request ${over}: the worker hears no end`, async (t) => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<number>();
    const edge = await withWorker(t, (stream) => {
      stream.once("data", () => begun.resolve());
      stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
    });
    const call = new WebCall(t, edge.port, version).send(message(1));
    await begun.promise;
    call.leave();
    assert.equal(await cancelled.promise, 8);
  });

  const refused: [why: string, body: string | Buffer, asking: object, status: string][] = [
    ["what is not base64", "AA!A", { headers: TEXT }, "3"],
    ["base64 that breaks off", "AAAAAAA", { headers: TEXT }, "3"],
    ["a compressed body", message(0), { headers: { ...BINARY, "content-encoding": "gzip" } }, "12"],
    ["a malformed grpc-timeout", message(0), { headers: { ...BINARY, "grpc-timeout": "soon" } }, "3"],
    ["another method", message(0), { method: "PUT" }, "12"],
  ];
  for (const [why, body, asking, status] of refused)
    test(`${why} ${over} is refused with status ${status}`, async (t) => {
      const edge = await withWorker(t, (stream) => void stream.resume());
      const reply = await webCall(t, edge.port, version, body, asking);
      assert.deepEqual(
        [reply.status, reply.headers["grpc-status"], reply.body.length, reply.over],
        [200, status, 0, "complete"],
      );
    });

  test(`a worker that refuses the call ${over}: UNAVAILABLE`, async (t) => {
    const edge = await withWorker(t, (stream) => stream.close(7));
    const reply = await webCall(t, edge.port, version, message(0));
    assert.deepEqual([reply.status, reply.headers["grpc-status"]], [200, "14"]);
    await edge.logged(({ outcome }) => outcome === "upstream_unprocessed");
  });

  test(`what is left when the drain time is over ${over} gets trailers with UNAVAILABLE`, async (t) => {
    const edge = await testEdge(t, {
      DRAIN_SECONDS: "0",
      GRPC_UPSTREAMS: await http2Worker(t, (stream) => begin(stream, message(1))),
    });
    const call = new WebCall(t, edge.port, version).send(message(0)).end();
    await call.until(6);
    await edge.edge.drain();
    assert.equal(await call.over, "complete");
    assert.match(call.body.toString("latin1").slice(6), /^\x80\0\0\0.grpc-status: 14\r\n/s);
  });

  for (const kind of [BINARY, TEXT])
    test(`megabytes both ways, by credit: ${kind["content-type"]} ${over}`, async (t) => {
      const size = 3_000_001;
      const edge = await withWorker(t, (stream) => {
        begin(stream);
        stream.pipe(stream, { end: false });
        stream.on("end", () => endWith(stream, { "grpc-status": "0" }));
      });
      const sent = message(size);
      const body = kind === TEXT ? sent.toString("base64") : sent;
      const reply = await webCall(t, edge.port, version, body, { headers: kind });
      const bytes = kind === TEXT ? fromBase64(reply.body) : reply.body.toString("latin1");
      assert.equal(reply.over, "complete");
      assert.ok(bytes === sent.toString("latin1") + trailers("grpc-status: 0"));
    });

  test(`a worker gets a gRPC request ${over}`, async (t) => {
    const asked = Promise.withResolvers<IncomingHttpHeaders>();
    const body = Promise.withResolvers<Buffer>();
    const edge = await withWorker(t, (stream, headers) => {
      asked.resolve(headers);
      void readAll(stream).then(body.resolve);
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
        { endStream: true },
      );
    });
    const more = {
      accept: "application/grpc-web-text",
      "accept-encoding": "gzip",
      "x-user-agent": "browser",
      "a-bin": "AAE",
    };
    await webCall(t, edge.port, version, message(2), { path: "/a.B/C", headers: { ...BINARY, ...more } });
    const {
      ":method": method,
      ":path": path,
      "content-type": type,
      te,
      "x-user-agent": agent,
      "a-bin": bin,
      ...rest
    } = await asked.promise;
    assert.deepEqual(
      [method, path, type, te, agent, bin],
      ["POST", "/a.B/C", "application/grpc+proto", "trailers", "browser", "AAE"],
    );
    for (const name of ["x-grpc-web", "accept", "accept-encoding", "content-length"])
      assert.equal(rest[name], undefined);
  });
}

test("a request without a Host, which HTTP/1.0 allows, is refused with status 3", async (t) => {
  const client = new RawClient(t, port);
  client.send(
    "POST /Echo/Ping HTTP/1.0\r\nContent-Type: application/grpc-web\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
  );
  assert.match(
    await client.closed,
    /^HTTP\/1\.1 200 OK\r\n[^]*grpc-status: 3\r\ngrpc-message: gRPC-Web calls need/,
  );
});

test("over HTTP/1.0 the trailers' frame alone tells the end from a cut", async (t) => {
  const client = new RawClient(t, port);
  client.send(
    "POST /Echo/Ping HTTP/1.0\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
  );
  const text = await client.closed;
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.ok(text.endsWith(`\r\n\r\n${PONG}${OK}`), JSON.stringify(text));
});

test("the wire over HTTP/1.1: a chunk for each message, and the trailers in the last", async (t) => {
  const streams = Promise.withResolvers<ServerHttp2Stream>();
  const edge = await withWorker(t, (stream) => streams.resolve(stream));
  const client = new RawClient(t, edge.port);
  client.send(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
  );
  const stream = await streams.promise;
  begin(stream, message(1));
  await client.until(/\r\n\r\n6\r\n[^]{6}\r\n$/);
  endWith(stream, { "grpc-status": "0" });
  const text = await client.until(/0\r\n\r\n$/);
  assert.ok(text.endsWith(`\r\n15\r\n${trailers("grpc-status: 0")}\r\n0\r\n\r\n`), JSON.stringify(text));
  client.socket.end();
  await once(client.socket, "close");
});

test("a worker's 101, which HTTP/2 does not have, does not reach a client over HTTP/1.1", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    if (!text.includes("/Echo/Ping")) return;
    const end = fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]);
    socket.write(frame("SETTINGS", 0, 0));
    socket.write(frame("HEADERS", END_HEADERS, 1, fields([":status", "101"])));
    socket.write(frame("HEADERS", END_HEADERS | END_STREAM, 1, end));
  });
  const edge = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new RawClient(t, edge.port);
  client.send(
    "POST /Echo/Ping HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
  );
  const text = await client.until(/\r\n\r\n/);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*grpc-status: 14\r\n/);
});

test("a client that waits for a 100 gets it once its call is on its way; the worker hears nothing of that", async (t) => {
  const asked = Promise.withResolvers<IncomingHttpHeaders>();
  const edge = await withWorker(t, (stream, headers) => {
    asked.resolve(headers);
    stream.respond({ "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
  });
  const client = new RawClient(t, edge.port);
  client.send(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
  );
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
  client.send("\0\0\0\0\0");
  await client.until(/HTTP\/1\.1 200 OK[^]*grpc-status: 0\r\n/);
  assert.equal((await asked.promise)["expect"], undefined);
});
