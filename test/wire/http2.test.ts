// Bytes in, frames out: what any HTTP/2 implementation behind the port has to do.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { END_STREAM, FrameClient, PREFACE, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

const PADDED = 8;

/** A client that has sent these frames; the connection's own are left out of what it heard. */
async function open(t: TestContext, env: Record<string, string>, ...frames: Buffer[]): Promise<FrameClient> {
  const { port } = await testEdge(t, env);
  const client = new FrameClient(t, port);
  client.open(...frames);
  return client;
}

const pong = (t: TestContext): Promise<string> =>
  httpWorker(t, (_req, res) => void res.writeHead(200, { "content-length": 4 }).end("pong"));

test("a reply with a content-length ends with its last byte, not in a frame of its own", async (t) => {
  const client = await open(t, { HTTP_UPSTREAMS: await pong(t) }, headers(1, "GET", "/"));
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1", "DATA 1 4 END_STREAM"]);
});

test("a reply without a body is one frame", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.writeHead(204).end());
  const client = await open(t, { HTTP_UPSTREAMS: worker }, headers(1, "GET", "/"));
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1 END_STREAM"]);
});

test("a HEAD reply is one frame, whatever its content-length", async (t) => {
  const client = await open(t, { HTTP_UPSTREAMS: await pong(t) }, headers(1, "HEAD", "/"));
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1 END_STREAM"]);
});

for (const framing of [
  "content-length: 100\r\n\r\nhalf",
  "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
]) {
  test(`a reply that fails half-way ends in RST_STREAM, never in END_STREAM (${framing.slice(0, 17)})`, async (t) => {
    const worker = await rawWorker(
      t,
      (socket) => void socket.write(`HTTP/1.1 200 OK\r\n${framing}`, () => socket.destroy()),
    );
    const client = await open(t, { HTTP_UPSTREAMS: worker }, headers(1, "GET", "/"));
    assert.deepEqual(await client.until(/RST_STREAM/), ["HEADERS 1", "DATA 1 4", "RST_STREAM 1 2"]);
  });
}

test("a gRPC reply that fails half-way ends in trailers, never in an empty DATA with END_STREAM", async (t) => {
  const worker = await http2Worker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.write(Buffer.alloc(7), () => stream.close(2));
  });
  const client = await open(
    t,
    { GRPC_UPSTREAMS: worker },
    headers(1, "POST", "/Echo/Ping", [["content-type", "application/grpc"]]),
  );
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1", "DATA 1 7", "HEADERS 1 END_STREAM"]);
});

test("a trailers-only refusal is one HEADERS frame", async (t) => {
  const env = { HTTP_UPSTREAMS: await pong(t), AUTH_AUDIENCE: "x", AUTH_SERVICE_ACCOUNTS: "*" };
  const client = await open(t, env, headers(1, "POST", "/Echo/Ping", [["content-type", "application/grpc"]]));
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1 END_STREAM"]);
});

test("an early reply to an upload: the reply whole, then RST_STREAM(NO_ERROR) (RFC 9113, section 8.1)", async (t) => {
  const client = await open(
    t,
    { HTTP_UPSTREAMS: await pong(t) },
    headers(1, "POST", "/", [], false),
    frame("DATA", 0, 1, "part"),
  );
  assert.deepEqual(await client.until(/RST_STREAM/), ["HEADERS 1", "DATA 1 4 END_STREAM", "RST_STREAM 1 0"]);
});

for (const code of [0, 2, 8]) {
  test(`an upload that is reset with code ${code} does not look complete to the worker`, async (t) => {
    const begun = Promise.withResolvers<IncomingMessage>();
    const worker = await httpWorker(t, (req) => void req.once("data", () => begun.resolve(req)));
    const client = await open(
      t,
      { HTTP_UPSTREAMS: worker },
      headers(1, "POST", "/", [], false),
      frame("DATA", 0, 1, "part"),
    );
    const req = await begun.promise;
    const outcome = new Promise((resolve) => {
      req.once("end", () => resolve("complete"));
      req.once("error", () => resolve("broken off"));
    });
    client.send(frame("RST_STREAM", 0, 1, Buffer.from([0, 0, 0, code])));
    assert.equal(await outcome, "broken off");
  });
  test(`a gRPC upload that is reset with code ${code} is a reset for the worker`, async (t) => {
    const outcome = Promise.withResolvers<unknown>();
    const worker = await http2Worker(t, (stream) => {
      let ended = false;
      stream.on("data", () => {});
      stream.on("aborted", () => outcome.resolve("broken off"));
      stream.on("end", () => (ended = true));
      stream.on("close", () => outcome.resolve(ended ? "complete" : "broken off"));
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
    });
    const client = await open(
      t,
      { GRPC_UPSTREAMS: worker },
      headers(1, "POST", "/Echo/Chat", [["content-type", "application/grpc"]], false),
      frame("DATA", 0, 1, "part"),
    );
    await client.until(/HEADERS 1/);
    client.send(frame("RST_STREAM", 0, 1, Buffer.from([0, 0, 0, code])));
    assert.equal(await outcome.promise, "broken off");
  });
}

test("a connection that ends in the middle of an upload does not look complete to the worker", async (t) => {
  const begun = Promise.withResolvers<IncomingMessage>();
  const worker = await httpWorker(t, (req) => void req.once("data", () => begun.resolve(req)));
  const client = await open(
    t,
    { HTTP_UPSTREAMS: worker },
    headers(1, "POST", "/", [], false),
    frame("DATA", 0, 1, "part"),
  );
  const req = await begun.promise;
  client.socket.end();
  await once(req, "error");
  assert.equal(req.complete, false);
});

test("the preface one byte at a time", async (t) => {
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: await pong(t) });
  const client = new FrameClient(t, port);
  for (const byte of Buffer.concat([PREFACE, frame("SETTINGS", 0, 0), headers(1, "GET", "/")])) {
    client.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.until(/DATA 1 4 END_STREAM/);
});

test("unknown frame types are ignored (RFC 9113, section 5.5)", async (t) => {
  const client = await open(
    t,
    { HTTP_UPSTREAMS: await pong(t) },
    frame("GREASE", 0, 0, "x"),
    headers(1, "GET", "/"),
  );
  await client.until(/DATA 1 4 END_STREAM/);
});

/** Fields that make a request malformed (RFC 9113, section 8.2): refuse it, or at the least never pass the field on. */
const malformed: [why: string, name: string, value: string][] = [
  ["an upper-case name", "X-Upper", "1"],
  ["connection", "connection", "close"],
  ["transfer-encoding", "transfer-encoding", "chunked"],
  ["te other than trailers", "te", "gzip"],
  ["a line feed in a value", "x-a", "1\nx-auth-email: root"],
  ["a carriage return in a value", "x-a", "1\r\n\r\nGET /smuggled HTTP/1.1"],
  ["a NUL in a value", "x-a", "1\0"],
  ["a colon in a name", "x:a", "1"],
  ["a space in a name", "x a", "1"],
  ["a line feed in a name", "x\na", "1"],
  ["an unknown pseudo-header", ":evil", "1"],
  ["a second :path", ":path", "/other"],
  ["a content-length that is no number", "content-length", "x"],
];
for (const [why, name, value] of malformed) {
  test(`a request with ${why}: the field never reaches a worker, nor does what is hidden in it`, async (t) => {
    const seen: string[] = [];
    const worker = await rawWorker(t, (socket, text) => {
      seen.push(text);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    const client = await open(t, { HTTP_UPSTREAMS: worker }, headers(1, "GET", "/", [[name, value]]));
    await client.until(/RST_STREAM 1|GOAWAY|END_STREAM/);
    assert.ok(
      !seen.some((text) => text.toLowerCase().includes(`${name.toLowerCase()}: ${value}`.toLowerCase())),
      seen.join(""),
    );
    assert.ok(!seen.some((text) => /root|smuggled|evil|\/other/.test(text)), seen.join(""));
  });
}

const paths: [why: string, path: string][] = [
  ["a space", "/a b"],
  ["a line break", "/a\r\nx-auth-email: root"],
  ["a second request", "/ HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"],
  ["nothing", ""],
  ["no slash", "a"],
  ["a NUL", "/\0"],
];
for (const [why, path] of paths) {
  test(`a :path with ${why} never becomes a request line`, async (t) => {
    const seen: string[] = [];
    const worker = await rawWorker(t, (socket, text) => {
      seen.push(text);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    const client = await open(t, { HTTP_UPSTREAMS: worker }, headers(1, "GET", path));
    await client.until(/RST_STREAM 1|GOAWAY|END_STREAM/);
    assert.deepEqual(seen, []);
  });
}

test("a protocol error on one connection does not touch the others", async (t) => {
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: await pong(t) });
  for (let i = 0; i < 5; i++) {
    const broken = new FrameClient(t, port);
    broken.open(
      headers(1, "POST", "/", [["content-length", "2"]], false),
      frame("DATA", END_STREAM, 1, "too much"),
      frame("HEADERS", 0, 2, "x"),
    );
    await broken.until(/RST_STREAM 1|GOAWAY/).catch(() => {});
  }
  const client = new FrameClient(t, port);
  client.open(headers(1, "GET", "/"));
  await client.until(/DATA 1 4 END_STREAM/);
});

test("more bytes than content-length says are a stream error, and no second request", async (t) => {
  const seen: string[] = [];
  const worker = await httpWorker(t, (req, res) => {
    seen.push(req.url ?? "");
    req.resume();
    req.on("end", () => res.end());
  });
  const client = await open(
    t,
    { HTTP_UPSTREAMS: worker },
    headers(1, "POST", "/a", [["content-length", "2"]], false),
    frame("DATA", END_STREAM, 1, "hiGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
  );
  await client.until(/RST_STREAM 1|GOAWAY/);
  assert.ok(!seen.includes("/smuggled"));
});

test("padding is given back to the stream's window, too (RFC 9113, section 6.1)", async (t) => {
  const worker = await httpWorker(t, (req, res) => void req.resume().on("end", () => res.end("ok")));
  const client = await open(t, { HTTP_UPSTREAMS: worker }, headers(1, "POST", "/", [], false));
  // 256 bytes of the window each, of which one is content; half a window is worth a WINDOW_UPDATE.
  const padded = frame("DATA", PADDED, 1, Buffer.concat([Buffer.from([254]), Buffer.alloc(255)]));
  for (let i = 0; i < 6; i++) {
    client.send(Buffer.concat(Array.from({ length: 128 }, () => padded)));
    await client.until(/WINDOW_UPDATE 1/);
    client.frames.length = 0;
  }
  client.send(frame("DATA", END_STREAM, 1, ""));
  await client.until(/DATA 1 2 END_STREAM/);
});

/** SETTINGS_INITIAL_WINDOW_SIZE. */
function window(bytes: number): Buffer {
  const setting = Buffer.from([0, 4, 0, 0, 0, 0]);
  setting.writeUInt32BE(bytes, 2);
  return frame("SETTINGS", 0, 0, setting);
}

/** Opens the first stream's window by so much. */
function more(bytes: number): Buffer {
  return frame("WINDOW_UPDATE", 0, 1, Buffer.from([0, 0, bytes >> 8, bytes]));
}

test("a window that SETTINGS make negative is opened by as much first (RFC 9113, section 6.9.2)", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end(Buffer.alloc(5000)));
  const client = await open(t, { HTTP_UPSTREAMS: worker }, window(1000), headers(1, "GET", "/"));
  await client.until(/DATA 1 1000$/);
  // The reply to the second request says that all before it has been dealt with.
  client.send(window(0), more(900), more(100), headers(3, "HEAD", "/"));
  await client.until(/HEADERS 3/);
  assert.deepEqual(client.frames, ["HEADERS 1", "DATA 1 1000", "HEADERS 3 END_STREAM"]);
  client.send(more(500));
  await client.until(/DATA 1 500$/);
  client.send(window(4000));
  await client.until(/DATA 1 3500 END_STREAM$/);
});

test("heads of more than a frame go both ways, in CONTINUATION frames, and are the same at the other end", async (t) => {
  const large = Array.from({ length: 30_000 }, (_, i) => String.fromCharCode(0x21 + ((i * 7) % 90))).join("");
  const worker = await http2Worker(t, (stream, asked) => {
    stream.respond(
      {
        ":status": 200,
        "content-type": "application/grpc",
        "x-echo": asked[":path"] === "/large" ? large : (asked["x-large"] ?? "none"),
        "grpc-status": "0",
      },
      { endStream: true },
    );
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const asked = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", "x-large": large };
  const session = http2Client(t, port, { maxSendHeaderBlockLength: 100_000 });
  assert.equal((await h2(session, asked)).headers["x-echo"], large);
  const client = new FrameClient(t, port);
  client.open(headers(1, "POST", "/large", [["content-type", "application/grpc"]]));
  await client.until(/CONTINUATION 1/);
  client.send(headers(3, "POST", "/x", [["content-type", "application/grpc"]]));
  await client.until(/HEADERS 3/);
  assert.deepEqual(client.frames, ["HEADERS 1 END_STREAM", "CONTINUATION 1", "HEADERS 3 END_STREAM"]);
});

test("HEADERS with a priority are served as others are (RFC 9113, section 5.3.2)", async (t) => {
  const plain = headers(1, "GET", "/").subarray(9);
  const priority = Buffer.from([0x80, 0, 0, 0, 255]);
  const withPriority = frame("HEADERS", 0x25, 1, Buffer.concat([priority, plain]));
  const client = await open(t, { HTTP_UPSTREAMS: await pong(t) }, withPriority);
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1", "DATA 1 4 END_STREAM"]);
});
