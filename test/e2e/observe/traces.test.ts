import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { GRPC, message, withWorker } from "../../support/grpc.ts";
import { HANDSHAKE, extendedConnect, wsWorker } from "../../support/websockets.ts";
import { httpWorker } from "../../support/workers.ts";

const ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const FIELDS = {
  traceparent: `00-${ID}-00f067aa0ba902b7-01`,
  tracestate: "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
  "x-cloud-trace-context": `${ID}/67667974448284343;o=1`,
};
/** The edge takes no part in a trace, so what it cannot read it may not judge. */
const MALFORMED = { ...FIELDS, traceparent: "00-nonsense", "x-cloud-trace-context": "nonsense" };

function lines(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}

function seen(headers: IncomingHttpHeaders): object {
  return Object.fromEntries(Object.keys(FIELDS).map((name) => [name, headers[name]]));
}

for (const [what, fields] of [
  ["trace context", FIELDS],
  ["malformed trace context", MALFORMED],
] as const) {
  for (const carrier of ["http2-proxy", "direct"]) {
    test(`${what} reaches an HTTP worker unchanged, over HTTP/1.1 by ${carrier} and over HTTP/2`, async (t) => {
      const got: object[] = [];
      const worker = await httpWorker(t, (req, res) => {
        got.push(seen(req.headers));
        res.end();
      });
      const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, HTTP1_CARRIER: carrier });
      const client = new RawClient(t, port);
      client.send(`GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines(fields)}\r\n`);
      await client.closed;
      await h2(http2Client(t, port), { ":path": "/a", ...fields });
      assert.deepEqual(got, [fields, fields]);
    });
  }

  test(`${what} reaches a gRPC worker unchanged`, async (t) => {
    let got: object | undefined;
    const { port } = await withWorker(t, (stream, headers) => {
      got = seen(headers);
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
        { endStream: true },
      );
    });
    await h2(http2Client(t, port), { ...GRPC, ...fields }, message());
    assert.deepEqual(got, fields);
  });

  test(`${what} reaches a WebSocket worker unchanged, over HTTP/1.1 and over HTTP/2`, async (t) => {
    const got: object[] = [];
    const { url, server } = await wsWorker(t);
    server.on("connection", (_socket, req) => got.push(seen(req.headers)));
    const { port } = await testEdge(t, { WS_UPSTREAMS: url });
    const client = new RawClient(t, port);
    client.send(`${HANDSHAKE}${lines(fields)}\r\n`);
    await client.until(/^HTTP\/1\.1 101 /);
    const { stream } = await extendedConnect(http2Client(t, port), fields);
    stream.close();
    assert.deepEqual(got, [fields, fields]);
  });
}

test("a log line names the trace that its worker was told of", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end());
  const edge = await testEdge(t, { HTTP_UPSTREAMS: worker, GOOGLE_CLOUD_PROJECT: "a-project" });
  await fetch(`${edge.url}/traced`, { headers: FIELDS });
  const line = await edge.logged(({ message: text }) => text === "GET /traced");
  assert.equal(line["logging.googleapis.com/trace"], `projects/a-project/traces/${ID}`);
  await fetch(`${edge.url}/untraced`, { headers: { traceparent: "00-nonsense" } });
  const other = await edge.logged(({ message: text }) => text === "GET /untraced");
  assert.equal("logging.googleapis.com/trace" in other, false);
});

test("behind trusted proxies a log line has the client's address, not the proxy's", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end());
  const edge = await testEdge(t, { HTTP_UPSTREAMS: worker, TRUSTED_HOPS: "1" });
  await fetch(`${edge.url}/a`, { headers: { "x-forwarded-for": "10.1.1.1, 203.0.113.9" } });
  const line = await edge.logged(({ message: text }) => text === "GET /a");
  assert.equal((line["httpRequest"] as Record<string, unknown>)["remoteIp"], "203.0.113.9");
});

test("two exchanges on one connection: each line has its own trace and sizes", async (t) => {
  const worker = await httpWorker(t, (req, res) => void req.pipe(res));
  const edge = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const session = http2Client(t, edge.port);
  const other = "1".repeat(32);
  for (const [trace, bytes] of [
    [ID, 10],
    [other, 20],
  ] as const)
    // prettier-ignore
    await h2(
      session,
      { ":method": "POST", ":path": `/${bytes}`, traceparent: `00-${trace}-00f067aa0ba902b7-00` },
      Buffer.alloc(bytes),
    );
  for (const [trace, bytes] of [
    [ID, 10],
    [other, 20],
  ] as const) {
    // prettier-ignore
    const line = await edge.logged(({ message: text }) => text === `POST /${bytes}`);
    const { requestSize, responseSize } = line["httpRequest"] as Record<string, unknown>;
    assert.deepEqual(
      [line["logging.googleapis.com/trace"], requestSize, responseSize],
      [trace, String(bytes), String(bytes)],
    );
  }
  session.close();
  await once(session, "close");
});
