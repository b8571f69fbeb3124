// What the doctor says of an edge behind proxies that nobody here wrote: HAProxy as Cloud Run's two modes, and both as they are often set up wrong.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { before, describe, test } from "node:test";
import { NEEDS_FRONTS, startNginx } from "../../support/fronts.ts";
import { startHaproxy } from "../../support/haproxy.ts";
import { doctor, workersHere } from "../../support/doctor.ts";
import { testEdge } from "../../support/edge.ts";
import { freePort } from "../../support/family.ts";
import { suiteScope } from "../../support/suite.ts";
import { httpWorker } from "../../support/workers.ts";

const NAMES = [
  "default",
  "endToEnd",
  "notOffered",
  "downgraded",
  "waits",
  "cuts",
  "refuses",
  "late",
  "untold",
  "buffers",
  "noUpgrade",
  "large",
] as const;
const ports = {} as Record<(typeof NAMES)[number], number>;

/** A front that answers everything by itself. */
async function front(
  t: Parameters<typeof httpWorker>[0],
  answer: (req: IncomingMessage, res: ServerResponse) => void,
): Promise<number> {
  return Number(new URL(await httpWorker(t, answer)).port);
}

function section(head: string, ...lines: readonly string[]): string {
  return [head, ...lines].join("\n  ") + "\n";
}

function h2(port: number): string {
  return `server edge 127.0.0.1:${port} proto h2`;
}

function frontend(name: keyof typeof ports, ...lines: readonly string[]): string {
  return section(`frontend ${name}`, `bind 127.0.0.1:${ports[name]}`, ...lines);
}

const suite = suiteScope();
before(async () => {
  if (NEEDS_FRONTS.skip !== false) return;
  for (const name of NAMES) ports[name] = await freePort();
  const workers = await workersHere(suite);
  const edge = await testEdge(suite, { ...workers, DOCTOR: "on", TRUSTED_HOPS: "1" });
  const plain = await testEdge(suite, { ...workers, DOCTOR: "on" });
  const withoutConnect = await testEdge(suite, { ...workers, DOCTOR: "on", WEBSOCKET_OVER_HTTP2: "off" });
  const silent = await testEdge(suite, workers);
  const forbidden = `content-type "text/html" string "<html>403 Forbidden</html>" hdr Server "Google Frontend"`;
  await startHaproxy(
    suite,
    [
      section("backend http1", `server edge 127.0.0.1:${edge.port}`),
      section("backend grpc", h2(edge.port)),
      section("backend plain", `server edge 127.0.0.1:${plain.port}`),
      section("backend http2", h2(plain.port)),
      section("backend impatient", "timeout tunnel 500ms", "timeout server 500ms", h2(plain.port)),
      section("backend without_connect", h2(withoutConnect.port)),
      section("backend silent", h2(silent.port)),
      frontend(
        "default",
        "option forwardfor",
        "http-request set-header x-cloud-trace-context 1/2",
        "use_backend grpc if { req.hdr(content-type) -m beg application/grpc }",
        "default_backend http1",
      ),
      frontend("endToEnd", "default_backend http2"),
      frontend("notOffered", "default_backend without_connect"),
      frontend("downgraded", "option httpclose", "default_backend plain"),
      frontend("waits", "option http-buffer-request", "default_backend http2"),
      frontend("cuts", "timeout client 500ms", "default_backend impatient"),
      frontend("refuses", `http-request return status 403 ${forbidden}`),
      frontend(
        "late",
        'http-after-response set-header date "Thu, 01 Jan 2026 00:00:00 GMT"',
        "default_backend plain",
      ),
      frontend("untold", "default_backend silent"),
    ].join(""),
    NAMES.slice(0, -3).map((name) => ports[name]),
  );
  const server = (port: number, more: string): string =>
    `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${plain.port}; ${more} } }\n`;
  await startNginx(
    suite,
    server(ports.buffers, "proxy_http_version 1.0;") +
      server(ports.noUpgrade, "proxy_http_version 1.1; proxy_buffering off;") +
      server(ports.large, "client_max_body_size 32m;"),
    [ports.buffers, ports.noUpgrade, ports.large],
  );
});

// Side by side: each waits for events more than it works.
describe("the doctor", { concurrency: true }, () => {
  test(
    "Cloud Run's default mode, by HAProxy: all is well, and it says which mode",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(ports.default);
      diagnosis.allIsWell();
      assert.match(diagnosis.of("mode").saw, /Cloud Run's default mode/);
      assert.equal(diagnosis.of("WebSocket arrives").saw, "as upgrade, HTTP/1.1");
      assert.match(diagnosis.of("client address").saw, /1 entry, TRUSTED_HOPS is 1/);
      assert.equal(diagnosis.of("trace").saw, "x-cloud-trace-context arrive");
      assert.match(diagnosis.of("gRPC bidi streaming").saw, /^arrives as HTTP\/2, .*full-duplex/);
    },
  );

  test("HTTP/2 end to end, by HAProxy: a WebSocket arrives as extended CONNECT", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.endToEnd);
    diagnosis.allIsWell();
    assert.match(diagnosis.of("mode").saw, /--use-http2/);
    assert.equal(diagnosis.of("WebSocket arrives").saw, "as extended CONNECT, HTTP/2");
  });

  test(
    "HTTP/2 end to end, and extended CONNECT switched off: that is what to change",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(ports.notOffered);
      assert.match(diagnosis.of("mode").saw, /--use-http2/);
      diagnosis.only("failed", ["WebSocket by upgrade", "WebSocket by CONNECT"]);
      diagnosis.failed("WebSocket by upgrade", /^50\d, not from the edge/, /^Set WEBSOCKET_OVER_HTTP2=on/);
      assert.equal(diagnosis.of("WebSocket arrives").saw, "no handshake gets to the edge");
      diagnosis.failed("WebSocket by CONNECT", /./, /^Set WEBSOCKET_OVER_HTTP2=on/);
    },
  );

  test("gRPC over HTTP/1.1: each kind says that it needs HTTP/2", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.downgraded, { patienceMs: 300 });
    assert.match(diagnosis.of("mode").saw, /default mode/);
    diagnosis.failed("keep-alive", /closed behind the first reply/, /^Switch keep-alive on/);
    for (const kind of ["unary", "server streaming", "client streaming", "bidi streaming"])
      diagnosis.failed(
        `gRPC ${kind}`,
        /arrived as HTTP\/1\.1 and went to the HTTP worker/,
        /^Deploy with --use-http2/,
      );
  });

  test("a front that waits for the whole request: bidi is half-duplex", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.waits, { patienceMs: 300 });
    diagnosis.failed(
      "gRPC bidi streaming",
      /half-duplex/,
      /^Deploy with --use-http2.*without buffering requests/,
    );
    diagnosis.only("failed", ["gRPC bidi streaming"]);
  });

  test(
    "a front with a time limit: --hold says after how long it cuts, and that it was not the edge",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(ports.cuts, {}, { holdSeconds: 5 });
      const change = /^Raise the time limit.*LIMIT_TUNNEL_SECONDS/;
      diagnosis.failed(
        "a long WebSocket",
        /dropped without a Close frame, after [0-3]\.\d s: not by the edge/,
        change,
      );
      diagnosis.failed("a long gRPC stream", /cut.*after [0-3]\.\d s: not by the edge/, change);
    },
  );

  test("Google's own 403: Cloud Run checks callers, the edge was not reached", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.refuses);
    diagnosis.failed(
      "without a token",
      /403 from Google's front end/,
      /X-Serverless-Authorization.*--allow-unauthenticated/,
    );
    const given = await doctor(ports.refuses, { token: "a.b.c" });
    assert.match(given.of("without a token").saw, /refused by Google's front end/);
    given.failed("with the token", /403 from Google's front end/, /roles\/run\.invoker/);
  });

  test("a server whose clock is wrong", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.late, { patienceMs: 300 });
    diagnosis.failed("clock", /^the server's is \d+ h behind this machine's/, /^Set the clock that is wrong/);
  });

  test(
    "without DOCTOR=on the example worker still shows the mode; the handshake stays unknown",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(ports.untold);
      assert.match(diagnosis.of("mode").saw, /--use-http2/);
      diagnosis.only("unknown", ["WebSocket arrives"]);
      assert.match(diagnosis.of("WebSocket arrives").change ?? "", /DOCTOR=on/);
      diagnosis.only("failed", []);
    },
  );

  test("nginx as it comes: events are buffered, there is no HTTP/2", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.buffers);
    diagnosis.failed("server-sent events", /all came at once/, /proxy_buffering off/);
    diagnosis.failed("HTTP/2", /./, /serve HTTP\/2 by prior knowledge: without it there is no gRPC/);
    assert.ok(!diagnosis.findings.some(({ check }) => check.startsWith("gRPC")));
    diagnosis.failed("mode", /as HTTP\/1\.0/, /proxy_http_version 1\.1/);
  });

  test(
    "nginx without the two lines for WebSockets: the handshake arrives as a plain request",
    NEEDS_FRONTS,
    async () => {
      const diagnosis = await doctor(ports.noUpgrade);
      diagnosis.failed(
        "WebSocket arrives",
        /as a plain request, HTTP\/1\.1/,
        /^Let Upgrade and Connection through/,
      );
      diagnosis.failed("WebSocket by upgrade", /404 instead of 101/, /^Let Upgrade and Connection through/);
      assert.equal(diagnosis.of("server-sent events").verdict, "ok");
    },
  );

  test("a front that takes 32 MiB: --large says so", NEEDS_FRONTS, async () => {
    const diagnosis = await doctor(ports.large, {}, { large: true });
    diagnosis.failed("large request", /413/, /limit on the size of requests/);
  });

  test("http:// where only https:// is served", async (t) => {
    const port = await front(t, (_req, res) => {
      res.writeHead(302, { location: "https://127.0.0.1/", server: "Google Frontend" }).end();
    });
    (await doctor(port)).failed("door", /302 to https/, /^Use https:/);
  });

  test("a server that is silent", async (t) => {
    const port = await front(t, () => {});
    (await doctor(port, { timeoutMs: 1000 })).failed(
      "door",
      /no answer within 1000 ms/,
      /^Check that --server leads/,
    );
  });

  test("Cloud Run's token goes in its own header, beside the edge's", async (t) => {
    const seen: (string | undefined)[] = [];
    const port = await front(t, (req, res) => {
      seen.push(`${req.headers.authorization} ${req.headers["x-serverless-authorization"]}`);
      res.writeHead(401, { server: "Google Frontend", "content-type": "text/html" }).end("<html>");
    });
    const diagnosis = await doctor(port, { token: "a.b.c", runToken: "d.e.f" });
    diagnosis.failed(
      "with the token",
      /401 from Google's front end/,
      /--run-token; aud is the service's URL/,
    );
    assert.deepEqual(seen, ["undefined Bearer d.e.f", "Bearer a.b.c Bearer d.e.f"]);
  });

  const fronts: [
    why: string,
    status: number,
    headers: Record<string, string>,
    saw: RegExp,
    change: RegExp,
  ][] = [
    ["IAP", 401, { "x-goog-iap-generated-response": "true" }, /Identity-Aware Proxy/, /IAP's client ID/],
    [
      "IAP's sign-in",
      302,
      { location: "https://accounts.google.com/o/oauth2" },
      /Identity-Aware/,
      /client ID/,
    ],
    ["Google: no such service", 404, { server: "Google Frontend" }, /404 from Google/, /--ingress all/],
    ["Google: no instance", 503, { server: "Google Frontend" }, /503 from Google/, /must be named h2c/],
    ["Google: too late", 504, { server: "Google Frontend" }, /504 from Google/, /--timeout 3600/],
    ["Google: no instance free", 429, { server: "Google Frontend" }, /429 from Google/, /--max-instances/],
    [
      "another proxy",
      502,
      { server: "nginx" },
      /not in the edge's words/,
      /^Check that what stands in front/,
    ],
  ];
  for (const [why, status, headers, saw, change] of fronts) {
    test(`answered in front of the edge: ${why}`, async (t) => {
      const port = await front(t, (_req, res) => void res.writeHead(status, headers).end("<html>"));
      (await doctor(port)).failed("without a token", saw, change);
    });
  }
});
