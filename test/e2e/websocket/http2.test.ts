import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import { webSocketAccept } from "../../../edge/http1/upgrade.ts";
import { http2Client, settle } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { clientFrame, extendedConnect } from "../../support/websockets.ts";
import { rawWorker } from "../../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

test("over HTTP/2: extended CONNECT is advertised, accepted with 200 and without an accept proof", async (t) => {
  const { stream, reply } = await extendedConnect(http2Client(t, stack.port));
  assert.deepEqual(
    [reply[":status"], reply["sec-websocket-accept"], reply["upgrade"]],
    [200, undefined, undefined],
  );
  stream.write(clientFrame(1, '{"message":"h2"}'));
  const [data] = (await once(stream, "data")) as [Buffer];
  assert.match(data.toString("latin1"), /"message":"pong"/);
  stream.end(clientFrame(8, Buffer.from([3, 0xe8])));
  const end = await settle(stream);
  assert.deepEqual(
    [end.body.subarray(0, 4), end.code, end.aborted],
    [Buffer.from([0x88, 2, 3, 0xe8]), 0, false],
  );
});

test("50 WebSockets on one HTTP/2 connection (envoy#38645: only the first one upgraded)", async (t) => {
  const session = http2Client(t, stack.port);
  await once(session, "remoteSettings");
  session.setMaxListeners(100);
  const tunnels = await Promise.all(Array.from({ length: 50 }, () => extendedConnect(session)));
  for (const { stream } of tunnels) stream.write(clientFrame(1, '{"message":1}'));
  for (const { stream } of tunnels) assert.match(String((await once(stream, "data"))[0]), /pong/);
});

test("RFC 8441 switched off is not advertised", async (t) => {
  const { port } = await testEdge(t, {
    WS_UPSTREAMS: `http://127.0.0.1:${stack.ws}`,
    WEBSOCKET_OVER_HTTP2: "off",
  });
  const session = http2Client(t, port);
  await once(session, "remoteSettings");
  assert.equal(session.remoteSettings.enableConnectProtocol, false);
});

test("over HTTP/2: a worker's 101 with a content-length does not cut the tunnel", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1];
    if (key === undefined || socket.bytesWritten > 0) return;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\ncontent-length: 0\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n\r\n`,
    );
    socket.write(Buffer.from([0x82, 1, 1]), () => socket.write(Buffer.from([0x82, 1, 2])));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const session = http2Client(t, port);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/",
    ":authority": "a",
  });
  stream.on("error", () => {});
  let bytes = 0;
  await new Promise<void>((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes === 6) resolve();
    });
  });
});
