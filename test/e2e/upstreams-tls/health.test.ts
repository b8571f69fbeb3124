// Checks of workers over TLS: the worker must prove who it is, and is told who asks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../edge/settings/config.ts";
import type { Address } from "../../../edge/settings/parse.ts";
import { address } from "../../../edge/settings/parse.ts";
import { askGrpc } from "../../../edge/upstream/health-grpc.ts";
import { askHttp1 } from "../../../edge/upstream/health-http1.ts";
import type { Check, Verdict } from "../../../edge/upstream/health-probe.ts";
import { probe } from "../../../edge/upstream/health-probe.ts";
import { Http1Upstream } from "../../../edge/upstream/http1/upstream.ts";
import type { Origin } from "../../../edge/upstream/origin.ts";
import { Http2Upstream } from "../../../edge/upstream/session.ts";
import { httpsWorker, secureHttp2Worker, trust } from "../../support/tls.ts";

const { authority, good } = trust();
const expired = authority.issue({ names: ["localhost"], hours: -1 });
const config = readConfig({});
const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);

function ask(check: Check, at: Address, origin?: Origin): Promise<Verdict> {
  assert.ok(check);
  return probe(check(at, origin), 5000, new AbortController().signal);
}

const overHttp1 = (kind: "tcp" | "http"): Check =>
  askHttp1({ kind, path: "/health" }, config.connectMs, (at) => new Http1Upstream(at, config));
const overGrpc = askGrpc(
  { kind: "grpc", service: "" },
  config.connectMs,
  (at) => new Http2Upstream(at, config),
);

/** What tells the worker who asks; a check must not end it, since the requests to that worker have the same. */
function origin(authority: string): Origin & { isClosed: boolean } {
  const made = {
    authority,
    isClosed: false,
    credentials: {
      fields: ["x-serverless-authorization", "Bearer edge"],
      isReady: true,
      ready: async () => {},
      close: () => void (made.isClosed = true),
    },
  };
  return made;
}

for (const kind of ["tcp", "http"] as const) {
  test(`${kind}: a worker with a good certificate is well, one with an expired one is out of reach`, async (t) => {
    const servers = [good, expired].map((certified) =>
      httpsWorker(t, certified, (_req, res) => void res.end("ok")),
    );
    const [well, ill] = (await Promise.all(servers)).map(({ port }) =>
      address("http")(`https://localhost:${port}`),
    );
    assert.ok(well && ill);
    assert.equal(await ask(overHttp1(kind), well), undefined);
    assert.equal((await ask(overHttp1(kind), ill))?.code, "upstream_tls");
  });
}

test("http: the check names the worker, and says who asks", async (t) => {
  const seen: unknown[] = [];
  const { port } = await httpsWorker(t, good, ({ headers }, res) => {
    seen.push([headers.host, headers["x-serverless-authorization"]]);
    res.end("ok");
  });
  const who = origin(`localhost:${port}`);
  assert.equal(await ask(overHttp1("http"), address("http")(`https://localhost:${port}`), who), undefined);
  assert.deepEqual(seen, [[`localhost:${port}`, "Bearer edge"]]);
  assert.equal(who.isClosed, false);
});

test("grpc: the check goes over TLS with HTTP/2, and says who asks", async (t) => {
  const seen: unknown[] = [];
  const { port } = await secureHttp2Worker(t, good, (stream, headers) => {
    seen.push([headers[":scheme"], headers[":authority"], headers["x-serverless-authorization"]]);
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(SERVING);
  });
  const who = origin(`localhost:${port}`);
  assert.equal(await ask(overGrpc, address("h2c")(`https://localhost:${port}`), who), undefined);
  assert.deepEqual(seen, [["https", `localhost:${port}`, "Bearer edge"]]);
  assert.equal(who.isClosed, false);
});
