// How a client's connection is read, with a handle that can be taken over and without one.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { duplexPair } from "node:stream";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { promisify } from "node:util";
import type { SocketEnd } from "../../edge/port/socket-end.ts";
import { adopt } from "../../edge/port/socket-end.ts";

interface Ends {
  readonly client: Socket;
  readonly accepted: Socket;
  readonly end: SocketEnd;
  readonly server: Server;
}

async function connected(t: TestContext): Promise<Ends> {
  const server = createServer();
  t.after(() => server.close());
  const both = Promise.withResolvers<{ accepted: Socket; end: SocketEnd }>();
  server.once("connection", (accepted) => both.resolve({ accepted, end: adopt(accepted) }));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    allowHalfOpen: true,
  });
  t.after(() => client.destroy());
  const { accepted, end } = await both.promise;
  t.after(() => end.socket.destroy());
  return { client, accepted, end, server };
}

/** What is read, up to and with `last`. */
function readUntil(end: SocketEnd, last: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    end.receive((bytes) => {
      text += bytes.toString("latin1");
      if (text.endsWith(last)) resolve(text);
    });
  });
}

test("an adopted connection is read and written by its own socket, and the accepted one is left empty", async (t) => {
  const { client, accepted, end, server } = await connected(t);
  assert.notEqual(end.socket, accepted);
  assert.equal(end.socket.remotePort, client.localPort);
  client.write("one");
  assert.equal(await readUntil(end, "one"), "one");
  end.socket.write("two");
  assert.equal(String((await once(client, "data"))[0]), "two");
  assert.equal(accepted.destroyed, true);
  assert.equal(await promisify(server.getConnections.bind(server))(), 0);
});

test("an adopted connection may end one direction at a time", async (t) => {
  const { client, end } = await connected(t);
  client.end();
  await once(end.socket, "end");
  end.socket.end("still there");
  assert.equal(String((await once(client, "data"))[0]), "still there");
  await once(client, "end");
});

test("an adopted connection that is paused is not read until it goes on", async (t) => {
  const { client, end } = await connected(t);
  const all = "x".repeat(300_000);
  let bytes = 0;
  const paused = Promise.withResolvers<void>();
  end.receive((chunk) => {
    bytes += chunk.length;
    end.socket.pause();
    paused.resolve();
  });
  client.write(all);
  await paused.promise;
  const first = bytes;
  // A whole round trip on another connection: what could be read would have been.
  const other = await connected(t);
  other.client.write("ping");
  await readUntil(other.end, "ping");
  assert.equal(bytes, first);
  const whole = Promise.withResolvers<void>();
  end.receive((chunk) => {
    bytes += chunk.length;
    if (bytes === all.length) whole.resolve();
  });
  end.socket.resume();
  await whole.promise;
});

test("a connection without a handle is read the usual way", async () => {
  const [client, accepted] = duplexPair();
  const end = adopt(accepted as Socket);
  assert.equal(end.socket, accepted);
  for (const word of ["one", "two"]) {
    const read = readUntil(end, word);
    client.write(word);
    assert.equal(await read, word);
  }
});
