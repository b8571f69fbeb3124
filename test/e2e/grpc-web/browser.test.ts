// Real pages in a real browser, by two clients that nobody here wrote.
import { create } from "@bufbuild/protobuf";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { serviceDefinition } from "../../../services/grpc/definition.ts";
import type {
  CountReply,
  CountRequest,
  PingRequest,
  PongResult,
} from "../../../services/grpc/gen/echo_pb.ts";
import { CountReplySchema, Echo, PongResultSchema } from "../../../services/grpc/gen/echo_pb.ts";
import { OPTIONS, newIssuer, settings } from "../../support/auth.ts";
import type { OpenPage } from "../../support/browser/chromium.ts";
import { needsChromium, openBrowser, openPage } from "../../support/browser/chromium.ts";
import type { Call, ClientName } from "../../support/browser/clients.ts";
import { pages } from "../../support/browser/pages.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { haproxy, startHttp2Front } from "../../support/haproxy.ts";
import { startWorkerProgram } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { httpWorker } from "../../support/workers.ts";

type Stream = ServerWritableStream<CountRequest, CountReply>;

/** A grpc-js server in this process: a Count is the test's to go on with, by the key that its page gave it. */
const counts = new Map<string, (stream: Stream) => void>();

const WHY = "n\u00f6 \u{1f600} 100%";
/** A google.rpc.Status: code 5 and the same message. */
const DETAILS = Buffer.from(`\x08\x05\x12${String.fromCharCode(Buffer.byteLength(WHY))}${WHY}`);

function ping({ metadata }: ServerUnaryCall<PingRequest, PongResult>, done: sendUnaryData<PongResult>): void {
  const trailers = new Metadata();
  trailers.set("x-own", "1");
  trailers.set("x-cookie", String(metadata.get("cookie")[0]));
  trailers.set("x-own-bin", Buffer.from([0, 255]));
  if (metadata.get("x-fail").length === 0)
    return done(null, create(PongResultSchema, { message: "pong" }), trailers);
  trailers.set("grpc-status-details-bin", DETAILS);
  done({ code: 5, details: WHY, metadata: trailers });
}

async function grpcWorker(t: typeof suite): Promise<string> {
  const server = new Server();
  server.addService(serviceDefinition(Echo), {
    ping,
    count: (stream: Stream) => counts.get(String(stream.metadata.get("x-key")[0]))?.(stream),
    collect: () => {},
    chat: () => {},
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  t.after(() => server.forceShutdown());
  return `h2c://127.0.0.1:${port}`;
}

/** What the page is made of, and what answers its calls. */
let site: string;
let worker: string;
/** The edge that the page comes through, and one of another origin that lets it call. */
let home: TestEdge;
let edge: TestEdge;
let page: OpenPage;
const suite = suiteScope();

before(async () => {
  const browser = await openBrowser(suite);
  if (browser === undefined) return;
  [site, worker] = await Promise.all([httpWorker(suite, pages), grpcWorker(suite)]);
  home = await testEdge(suite, { HTTP_UPSTREAMS: site, GRPC_UPSTREAMS: worker });
  edge = await testEdge(suite, { HTTP_UPSTREAMS: site, GRPC_UPSTREAMS: worker, CORS_ORIGINS: home.url });
  page = await openPage(browser, home.url);
});

let calls = 0;

/** A call by one of the clients, with a key of its own. */
function calling(client: ClientName, more: Partial<Call> = {}): Call {
  const key = `call-${++calls}`;
  return { client, base: edge.url, key, ...more, metadata: { "x-key": key, ...more.metadata } };
}

/** What the worker's end of a call looks like, once it is there. */
function atWorker(call: Call): Promise<Stream> {
  return new Promise((resolve) => counts.set(call.key, resolve));
}

function cancelled(stream: Stream): Promise<void> {
  if (stream.cancelled) return Promise.resolve();
  return new Promise((resolve) => stream.once("cancelled", resolve));
}

const number = (value: number): CountReply => create(CountReplySchema, { number: value });

for (const client of ["connect-web", "grpc-web", "grpc-web text"] as const) {
  for (const origin of ["another", "the same"] as const) {
    const base = (): string => (origin === "the same" ? home : edge).url;

    test(`${client} from ${origin} origin: a unary call`, needsChromium, async () => {
      const call = calling(client, { base: base() });
      const { code, replies, trailers } = await page.ping(call);
      await page.told(call.key, "pong");
      assert.deepEqual([code, replies, trailers["x-own"]], [0, 1, "1"]);
    });

    test(`${client} from ${origin} origin: a call that fails says why`, needsChromium, async () => {
      const { code, message, replies, trailers } = await page.ping(
        calling(client, { base: base(), metadata: { "x-fail": "1" } }),
      );
      assert.deepEqual([code, message, replies], [5, WHY, 0]);
      assert.deepEqual([trailers["x-own"], trailers["x-own-bin"]], ["1", "AP8="]);
    });
  }

  test(`${client}: a stream, to its end`, needsChromium, async () => {
    const call = calling(client);
    const stream = atWorker(call);
    const outcome = page.count(call, { count: 3 });
    const worker = await stream;
    for (const value of [1, 2, 3]) worker.write(number(value));
    worker.end();
    const { code, replies } = await outcome;
    assert.deepEqual([code, replies], [0, 3]);
  });

  test(`${client}: a page that gives up: the worker hears of it`, needsChromium, async () => {
    const call = calling(client);
    const stream = atWorker(call);
    const outcome = page.count(call, { count: 3 });
    const worker = await stream;
    await page.cancel(call.key);
    await cancelled(worker);
    assert.equal((await outcome).code, 1);
  });

  test(`${client}: a deadline that passes`, needsChromium, async () => {
    const call = calling(client, { timeoutMs: 150 });
    const stream = atWorker(call);
    const outcome = page.count(call, { count: 3 });
    const worker = await stream;
    assert.ok(Number(worker.getDeadline()) <= Date.now() + 150);
    await cancelled(worker);
    assert.equal((await outcome).code, 4);
  });

  test(`${client}: without a token the page reads UNAUTHENTICATED`, needsChromium, async (t) => {
    const issuer = await newIssuer(t);
    const guarded = await testEdge(
      t,
      settings(site, issuer, { GRPC_UPSTREAMS: worker, CORS_ORIGINS: home.url }),
    );
    const call = calling(client, { base: guarded.url });
    const { code, message } = await page.ping(call);
    assert.deepEqual([code, message], [16, "the request carries no ID token"]);
    const authorization = `Bearer ${issuer.mint(OPTIONS)}`;
    const again = await page.ping({ ...call, metadata: { ...call.metadata, authorization } });
    assert.equal(again.code, 0);
  });

  test(`${client}: a page that was not named reads nothing`, needsChromium, async (t) => {
    const env = { HTTP_UPSTREAMS: site, GRPC_UPSTREAMS: worker, CORS_ORIGINS: "https://app.example.com" };
    const other = await testEdge(t, env);
    const { code, replies } = await page.ping(calling(client, { base: other.url }));
    assert.deepEqual([code === 0, replies], [false, 0]);
    await other.logged(({ route }) => route === "preflight");
    assert.ok(!other.lines.some(({ route }) => route === "grpc-web"));
  });
}

test("cookies go along only where that was said", needsChromium, async (t) => {
  const env = { HTTP_UPSTREAMS: site, GRPC_UPSTREAMS: worker, CORS_ORIGINS: home.url };
  const [off, on] = await Promise.all([testEdge(t, env), testEdge(t, { ...env, CORS_CREDENTIALS: "on" })]);
  for (const client of ["connect-web", "grpc-web"] as const) {
    const refused = await page.ping(calling(client, { base: off.url, withCookies: true }));
    assert.deepEqual([refused.code === 0, refused.replies], [false, 0]);
    const { code, trailers } = await page.ping(calling(client, { base: on.url, withCookies: true }));
    assert.deepEqual([code, trailers["x-cookie"]], [0, "session=s1"]);
  }
});

const needsBoth = { skip: haproxy === undefined ? "haproxy is not installed" : needsChromium.skip };

test("pages call over HTTP/2 where what is in front speaks it to the edge", needsBoth, async (t) => {
  const base = `http://127.0.0.1:${await startHttp2Front(t, edge.port)}`;
  for (const client of ["connect-web", "grpc-web text"] as const) {
    assert.equal((await page.ping(calling(client, { base }))).code, 0);
    const call = calling(client, { base });
    const stream = atWorker(call);
    const outcome = page.count(call, { count: 3 });
    const worker = await stream;
    worker.write(number(1));
    await page.told(call.key, "1");
    worker.end();
    assert.equal((await outcome).code, 0);
    await edge.logged(({ route, message, httpRequest }) => {
      const { protocol } = (httpRequest ?? {}) as { protocol?: string };
      return route === "grpc-web" && message === "POST /Echo/Count" && protocol === "HTTP/2";
    });
  }
});

// In bytes grpc-web hands messages over at the end alone.
for (const client of ["connect-web", "grpc-web text"] as const) {
  test(`${client}: a message is there before the next one is sent`, needsChromium, async () => {
    const call = calling(client);
    const stream = atWorker(call);
    const outcome = page.count(call, { count: 3 });
    const worker = await stream;
    for (const value of [1, 2, 3]) {
      worker.write(number(value));
      await page.told(call.key, String(value));
    }
    worker.end();
    assert.equal((await outcome).code, 0);
  });
}

test("a worker that is killed half-way: both clients read UNAVAILABLE", needsChromium, async (t) => {
  const { port, program } = await startWorkerProgram(t, "grpc");
  const other = await testEdge(t, {
    HTTP_UPSTREAMS: site,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${port}`,
    CORS_ORIGINS: "*",
  });
  const both = (["connect-web", "grpc-web text"] as const).map((client) =>
    calling(client, { base: other.url }),
  );
  const outcomes = both.map((call) => page.count(call, { count: 2, intervalMs: 60_000 }));
  for (const { key } of both) await page.told(key, "1");
  program.child.kill("SIGKILL");
  for (const outcome of outcomes) {
    const { code, replies } = await outcome;
    assert.deepEqual([code, replies], [14, 1]);
  }
});
