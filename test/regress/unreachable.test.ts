// A network that fails under a connection which was there: the worker may have served the request, so nobody else gets it.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { http2Worker, httpWorker } from "../support/workers.ts";

const CODES = ["EHOSTUNREACH", "ENETUNREACH"];

/** Breaks every connection that this process opened to a worker, as a network that has gone does. */
function networkTo(t: TestContext): (worker: string, code: string) => void {
  const sockets = new Set<Socket>();
  const opened = (message: unknown): void => void sockets.add((message as { socket: Socket }).socket);
  subscribe("net.client.socket", opened);
  t.after(() => unsubscribe("net.client.socket", opened));
  return (worker, code) => {
    const port = Number(new URL(worker).port);
    for (const socket of sockets) {
      if (socket.remotePort === port) socket.destroy(Object.assign(new Error(code), { code }));
    }
  };
}

/** Two workers, of which `serve` breaks the connection to the first one asked; how many requests they had. */
async function breaking(
  t: TestContext,
  code: string,
  make: (onRequest: () => void) => Promise<string>,
): Promise<{ upstreams: string; requests: () => number }> {
  const fail = networkTo(t);
  let requests = 0;
  const workers: string[] = [];
  for (const each of [0, 1]) {
    workers.push(
      await make(() => {
        requests++;
        fail(workers[each]!, code);
      }),
    );
  }
  return { upstreams: workers.join(","), requests: () => requests };
}

for (const code of CODES) {
  for (const version of ["2", "1.1, by http2-proxy", "1.1, direct"]) {
    test(`${code} under a POST that the worker has: 502, and no other worker gets it (HTTP/${version})`, async (t) => {
      const { upstreams, requests } = await breaking(t, code, (onRequest) => httpWorker(t, onRequest));
      const { port, url } = await testEdge(t, {
        HTTP_UPSTREAMS: upstreams,
        HTTP1_CARRIER: version.endsWith("direct") ? "direct" : "http2-proxy",
      });
      const post = async (): Promise<number> => {
        if (version !== "2") return (await fetch(url, { method: "POST" })).status;
        return Number(
          (await h2(http2Client(t, port), { ":method": "POST", ":path": "/" })).headers[":status"],
        );
      };
      assert.deepEqual([await post(), requests()], [502, 1]);
    });
  }

  test(`${code} under a call that the worker has: UNAVAILABLE, and no other worker gets it`, async (t) => {
    const { upstreams, requests } = await breaking(t, code, (onRequest) => http2Worker(t, onRequest));
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: upstreams });
    const head = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", te: "trailers" };
    const reply = await h2(http2Client(t, port), head, "");
    assert.deepEqual([reply.headers["grpc-status"], requests()], ["14", 1]);
  });

  test(`${code} under a WebSocket: close code 1014, and the other worker hears nothing`, async (t) => {
    let handshakes = 0;
    const { upstreams } = await breaking(t, code, async (onMessage) => {
      const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
      await once(server, "listening");
      server.on("connection", (socket) => {
        handshakes++;
        socket.on("message", onMessage);
      });
      t.after(() => {
        for (const socket of server.clients) socket.terminate();
        server.close();
      });
      return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    });
    const { port, logged } = await testEdge(t, { WS_UPSTREAMS: upstreams });
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(socket, "open");
    socket.send("hello");
    assert.equal((await once(socket, "close"))[0], 1014);
    const { outcome } = await logged(({ route }) => route === "websocket");
    assert.deepEqual([outcome, handshakes], ["upstream_reset", 1]);
  });
}
