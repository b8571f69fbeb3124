import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import { webSocketAccept } from "../../../edge/http1/upgrade.ts";
import { RawClient, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { HANDSHAKE, extendedConnect, openWebSocket, wsWorker } from "../../support/websockets.ts";
import { rawWorker } from "../../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

test("the accept proof is for the client's own key (RFC 6455, section 4.2.2)", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(`${HANDSHAKE}\r\n`);
  assert.match(
    await client.until(/\r\n\r\n/),
    /^HTTP\/1\.1 101 [\s\S]*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i,
  );
});

test("subprotocols: the worker chooses, the client hears", async (t) => {
  const { url } = await wsWorker(t, { handleProtocols: () => "b" });
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = openWebSocket(t, port, ["a", "b"]);
  await once(socket, "open");
  assert.equal(socket.protocol, "b");
  const { reply } = await extendedConnect(http2Client(t, port), { "sec-websocket-protocol": "a, b" });
  assert.equal(reply["sec-websocket-protocol"], "b");
});

const lies: [why: string, answer: (key: string) => string][] = [
  [
    "a wrong accept proof",
    () => "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  ],
  ["no accept proof", () => "upgrade: websocket\r\nconnection: upgrade"],
  [
    "another protocol",
    (key) => `upgrade: irc\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}`,
  ],
  [
    "a subprotocol nobody offered",
    (key) =>
      `upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\nsec-websocket-protocol: evil`,
  ],
];
for (const [why, answer] of lies) {
  test(`a worker that answers 101 with ${why} is not believed: 502`, async (t) => {
    const worker = await rawWorker(t, (socket, text) => {
      const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1] ?? "";
      if (text.endsWith("\r\n\r\n"))
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${answer(key)}\r\n\r\n`);
    });
    const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
    const client = new RawClient(t, port);
    client.send(`${HANDSHAKE}\r\n`);
    assert.match(await client.closed, /^HTTP\/1\.1 502 [\s\S]*upstream_garbage/);
  });
}

const bad: [why: string, text: string][] = [
  ["no key", HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, "")],
  ["a key that is too short", HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=")],
  ["two keys", `${HANDSHAKE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`],
  ["a body", `${HANDSHAKE}Content-Length: 5\r\n`],
];
for (const [why, text] of bad) {
  test(`a handshake with ${why} is refused with 400 (RFC 6455, section 4.2.1)`, async (t) => {
    const client = new RawClient(t, stack.port);
    client.send(`${text}\r\n`);
    assert.match(await client.closed, /^HTTP\/1\.1 400 /);
  });
}

test("Upgrade: h2c never reaches a worker, and the request is an ordinary one", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(
    "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\nhi",
  );
  const text = await client.closed;
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.match(text, /"body":"hi"/);
  assert.doesNotMatch(text, /"upgrade"|http2-settings/i);
});

test("Upgrade: websocket, h2c is a WebSocket and no more", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(`${HANDSHAKE.replace("websocket\r\n", "h2c, websocket\r\n")}\r\n`);
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 101 [\s\S]*upgrade: websocket\r\n/i);
});

test("a WebSocket upgrade that is no GET is an ordinary request", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(
    `${HANDSHAKE.replace("GET /ws", "POST /echo").replace("Upgrade\r\n", "Upgrade, close\r\n")}Content-Length: 0\r\n\r\n`,
  );
  assert.match(await client.closed, /^HTTP\/1\.1 200 [\s\S]*"method":"POST"/);
});
