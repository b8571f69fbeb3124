import assert from "node:assert/strict";
import { test } from "node:test";
import type { Issuer } from "../../../scripts/token/issuer.ts";
import { OPTIONS, minted, newIssuer, settings } from "../../support/auth.ts";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { freePort } from "../../support/family.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { runScript } from "../../support/processes.ts";
import { HANDSHAKE, extendedConnect, wsWorker } from "../../support/websockets.ts";
import { http2Worker, rawWorker } from "../../support/workers.ts";

/** In everything that must not be told. */
const SECRET = "s3cr3tT0ken";
const B64 = Buffer.from(`Bearer ${SECRET}`).toString("base64url");

/** Everything that may carry one, beside a token that is good, one that is not, or none. */
function requests(issuer: Issuer): Record<string, string>[] {
  const good = `Bearer ${minted(issuer, {})}`;
  const forged = `Bearer ${minted(issuer, { aud: SECRET })}`;
  const more = {
    cookie: `session=${SECRET}`,
    "x-api-key": SECRET,
    "x-secret-bin": B64,
    "proxy-authorization": `Basic ${B64}`,
    "x-goog-iap-jwt-assertion": SECRET,
    traceparent: SECRET,
    "x-cloud-trace-context": SECRET,
    "x-forwarded-for": SECRET,
  };
  return [
    { authorization: good, ...more },
    { authorization: good, "x-serverless-authorization": `Bearer ${SECRET}`, ...more },
    { authorization: forged, ...more },
    { authorization: `Bearer ${SECRET}`, ...more },
    { authorization: `Basic ${SECRET}`, ...more },
    { "x-serverless-authorization": forged, ...more },
    { ...more },
  ];
}

function lines(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}

for (const format of ["json", "pretty"]) {
  test(`no token, cookie or query is in any log line (${format}), in /metrics or in /upstreams`, async (t) => {
    const issuer = await newIssuer(t);
    // A reply that is none: what is wrong with it is told, not what it says.
    const http = await rawWorker(t, (socket, text) => {
      if (text.endsWith("\r\n\r\n"))
        socket.end(`HTTP/1.1 200 OK\r\nset-cookie: ${SECRET}\u0001\r\n\r\n${SECRET}`);
    });
    const grpc = await http2Worker(t, (stream) => {
      stream.respond({ ":status": 500, "content-type": "text/plain", "x-reason": SECRET });
      stream.end(SECRET);
    });
    const { url: ws } = await wsWorker(t, { handleProtocols: () => "real" });
    const [port, admin] = [await freePort(), await freePort()];
    const edge = runScript(t, "edge/main.ts", [], {
      ...settings(http, issuer),
      GRPC_UPSTREAMS: grpc,
      WS_UPSTREAMS: ws,
      PORT: String(port),
      ADMIN_PORT: String(admin),
      LOG_LEVEL: "debug",
      LOG_FORMAT: format,
      LIMIT_HEAD_BYTES: "8192",
      DRAIN_SECONDS: "0",
    });
    await edge.says(/ready/);
    const session = http2Client(t, port);
    const path = `/a?token=${SECRET}&access_token=${SECRET}`;
    const subprotocols = `base64url.bearer.authorization.oneport.${B64}, base64url.bearer.authorization.oneport.${Buffer.from(minted(issuer, {})).toString("base64url")}, real`;
    for (const fields of requests(issuer)) {
      const client = new RawClient(t, port);
      client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines(fields)}\r\n`);
      await client.closed;
      await h2(session, { ":path": path, ...fields });
      await h2(session, { ...GRPC, ":path": `/Echo/Ping?${SECRET}`, ...fields }, message());
      const socket = new RawClient(t, port);
      socket.send(
        `${HANDSHAKE.replace("/ws", path)}${lines(fields)}Sec-WebSocket-Protocol: ${subprotocols}\r\n\r\n`,
      );
      await socket.until(/^HTTP\/1\.1 \d+ /);
      const { stream } = await extendedConnect(session, {
        ":path": path,
        ...fields,
        "sec-websocket-protocol": subprotocols,
      });
      stream.close();
    }
    // What cannot be read, and what is too large.
    for (const broken of [
      `GET /a HTTP/1.1\r\n${SECRET}\r\n\r\n`,
      `GET /a HTTP/1.1\r\nHost: a\r\nx: ${SECRET.repeat(1000)}\r\n\r\n`,
    ]) {
      const client = new RawClient(t, port);
      client.send(broken);
      await client.closed;
    }
    const pages = await Promise.all(
      ["/metrics", "/upstreams", "/readyz", "/livez"].map(async (page) =>
        (await fetch(`http://127.0.0.1:${admin}${page}`)).text(),
      ),
    );
    assert.equal(await edge.stop(), 0);
    const told = [edge.out, edge.err, ...pages].join("\n");
    assert.match(told, /upstream_garbage/);
    assert.match(told, /unauthenticated/);
    assert.match(told, /oneport_requests_total/);
    const [header = "", claims = "", signature = ""] = minted(issuer, {}).split(".");
    for (const secret of [
      SECRET,
      B64,
      Buffer.from(SECRET).toString("base64url"),
      header,
      claims.slice(0, 40),
      signature,
    ])
      assert.ok(
        !told.includes(secret),
        `${secret} was told:\n${told.split("\n").find((line) => line.includes(secret))}`,
      );
    assert.ok(told.includes(OPTIONS.email), "who called is told");
  });
}
