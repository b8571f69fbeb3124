// What a child is handed is a connection that another process accepted: every protocol has to be served on it as on one of its
// own, whole bodies and half-closed tunnels included.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { before, test } from "node:test";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import type { Several } from "../../support/several.ts";
import { severalStarted } from "../../support/several.ts";
import type { Workers } from "../../support/stack.ts";
import { startWorkers } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { HANDSHAKE, extendedConnect, openWebSocket, rawTunnel, wsWorker } from "../../support/websockets.ts";
import { httpWorker, readAll } from "../../support/workers.ts";

const BODY = Buffer.alloc(3_000_000, "a body of some megabytes ");

/** Clients at a time: two for each process. */
const CLIENTS = 4;

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

/** Does something on each of some connections at once, and looks which processes served them: all children, and nobody else. */
async function byAll(
  { program, pids }: Several,
  client: (index: number) => Promise<unknown>,
  requests = CLIENTS,
): Promise<void> {
  const children = await pids();
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
  await program.says(new RegExp(`(?:"httpRequest"[^]*?){${requests}}`));
  const served = [...program.out.matchAll(/"pid":(\d+)[^\n]*"httpRequest"/g)].map(([, pid]) => Number(pid));
  assert.deepEqual([...new Set(served)].toSorted(), children.toSorted());
}

async function echoing(t: TestContext): Promise<Several> {
  const worker = await httpWorker(t, async (req, res) => void res.end(await readAll(req)));
  return severalStarted(t, workers, 2, { HTTP_UPSTREAMS: worker });
}

test("HTTP/1.1 through a child: bodies of megabytes both ways, twice on a connection", async (t) => {
  const several = await echoing(t);
  const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n`;
  await byAll(
    several,
    async () => {
      const client = new RawClient(t, several.port);
      for (let round = 0; round < 2; round++) {
        client.text = "";
        client.send(head);
        client.socket.write(BODY);
        while (!client.text.includes("\r\n\r\n")) await once(client.socket, "data");
        const start = client.text.indexOf("\r\n\r\n") + 4;
        while (client.text.length < start + BODY.length) await once(client.socket, "data");
        assert.match(client.text, /^HTTP\/1\.1 200 /);
        assert.ok(client.text.slice(start) === BODY.toString("latin1"));
      }
    },
    2 * CLIENTS,
  );
});

test("HTTP/1.1 through a child: a head that comes one byte at a time", async (t) => {
  const several = await severalStarted(t, workers, 2);
  await byAll(several, async () => {
    const client = new RawClient(t, several.port);
    client.socket.setNoDelay(true);
    for (const byte of "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(await client.closed, /pong/);
  });
});

test("HTTP/2 through a child: bodies of megabytes both ways, two at a time", async (t) => {
  const several = await echoing(t);
  await byAll(
    several,
    async () => {
      const session = http2Client(t, several.port);
      const post = { ":method": "POST", ":path": "/" };
      for (const { body, code } of await Promise.all([h2(session, post, BODY), h2(session, post, BODY)])) {
        assert.equal(code, 0);
        assert.ok(body.equals(BODY));
      }
    },
    2 * CLIENTS,
  );
});

test("gRPC through a child: replies and their trailers", async (t) => {
  const several = await severalStarted(t, workers, 2);
  const call = {
    ":method": "POST",
    ":path": "/Echo/Ping",
    "content-type": "application/grpc",
    te: "trailers",
  };
  await byAll(several, async () => {
    const { trailers } = await h2(http2Client(t, several.port), call, Buffer.alloc(5));
    assert.equal(trailers["grpc-status"], "0");
  });
});

test("a WebSocket through a child: messages of all sizes come back, and so does its close", async (t) => {
  const { url, server } = await wsWorker(t);
  server.on("connection", (socket) => socket.on("message", (bytes) => socket.send(bytes as Buffer)));
  const several = await severalStarted(t, workers, 2, { WS_UPSTREAMS: url });
  await byAll(several, async () => {
    const socket = openWebSocket(t, several.port);
    await once(socket, "open");
    for (const size of [0, 1, 1000, 65_536, BODY.length]) {
      socket.send(BODY.subarray(0, size));
      const [bytes] = (await once(socket, "message")) as [Buffer];
      assert.ok(bytes.equals(BODY.subarray(0, size)), `${size} bytes`);
    }
    socket.close(4000);
    assert.equal((await once(socket, "close"))[0], 4000);
  });
});

/** A worker that answers the client's end, if it has not ended first. */
async function beforeTunnels(
  t: TestContext,
  first: "client" | "worker",
): Promise<[Several, heard: string[]]> {
  const heard: string[] = [];
  const worker = await rawTunnel(t, (socket) => {
    let text = "";
    socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
    socket.once("end", () => {
      heard.push(text);
      socket.end("answer after your end");
    });
    if (first === "worker") socket.end("last words");
  });
  return [await severalStarted(t, workers, 2, { WS_UPSTREAMS: worker }), heard];
}

test("a tunnel through a child whose client ends first is answered, with what came right behind the handshake", async (t) => {
  const [several, heard] = await beforeTunnels(t, "client");
  await byAll(several, async () => {
    const client = new RawClient(t, several.port);
    client.send(`${HANDSHAKE}\r\nright behind, `);
    await client.until(/\r\n\r\n/);
    client.socket.end("bye");
    assert.match(await client.closed, /answer after your end$/);
  });
  assert.deepEqual(
    heard,
    Array.from({ length: CLIENTS }, () => "right behind, bye"),
  );
});

test("a tunnel through a child whose worker ends first can still be written to", async (t) => {
  const [several, heard] = await beforeTunnels(t, "worker");
  await byAll(several, async () => {
    const client = new RawClient(t, several.port);
    client.send(`${HANDSHAKE}\r\n`);
    assert.match(await client.closed, /last words$/);
    client.socket.end("still here");
  });
  assert.deepEqual(
    heard,
    Array.from({ length: CLIENTS }, () => "still here"),
  );
});

test("a tunnel through a child over HTTP/2: both ends as END_STREAM, whoever is first", async (t) => {
  const [several, heard] = await beforeTunnels(t, "client");
  await byAll(several, async () => {
    const { stream } = await extendedConnect(http2Client(t, several.port));
    stream.end("bye");
    assert.equal((await readAll(stream)).toString(), "answer after your end");
    assert.equal(stream.rstCode, 0);
  });
  assert.deepEqual(
    heard,
    Array.from({ length: CLIENTS }, () => "bye"),
  );
});
