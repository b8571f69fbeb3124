// Workers in another language, several of them, added and taken away while requests run: started by scripts/start.ts, as `npm start`
// does, with nothing but Python's standard library. A machine without python3 skips these, by name.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { RawClient, h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { family, freePort } from "../support/family.ts";
import { SMUGGLED } from "../support/hostile.ts";
import { Program, ROOT, which } from "../support/processes.ts";
import type { Started } from "../support/start.ts";
import { start } from "../support/start.ts";
import { clientFrame, extendedConnect } from "../support/websockets.ts";
import { rawWorker } from "../support/workers.ts";

const python = which("python3");
const needs = { skip: python === undefined && "python3 is not installed" };
const FILES = `${ROOT}test/support/python/`;

/** What the HTTP worker says of a request. */
interface Said {
  readonly pid: number;
  /** How many the process has had, this one included. */
  readonly requests: number;
  readonly path: string;
  readonly forwarded: string;
  readonly bytes: number;
}

async function ask(port: number, path = "/", body?: string): Promise<Said> {
  const reply = await fetch(
    `http://127.0.0.1:${port}${path}`,
    body === undefined ? {} : { method: "POST", body },
  );
  assert.equal(reply.status, 200);
  return (await reply.json()) as Said;
}

/** So many requests, eight at a time: how many each process got. Every one must get its reply. */
async function load(port: number, requests: number): Promise<ReadonlyMap<number, number>> {
  const shares = new Map<number, number>();
  let left = requests;
  const some = async (): Promise<void> => {
    while (left-- > 0) {
      const { pid } = await ask(port);
      shares.set(pid, (shares.get(pid) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 8 }, some));
  assert.equal(
    [...shares.values()].reduce((sum, share) => sum + share, 0),
    requests,
  );
  return shares;
}

/** Starts with workers of Python; where the gRPC workers should be, somebody listens. */
async function startWith(t: TestContext, env: Record<string, string>): Promise<Started> {
  const nobody = await rawWorker(t, () => {});
  const started = await start(t, { GRPC_UPSTREAMS: nobody, ...env });
  await started.program.says(/"message":"ready"/);
  return started;
}

test(
  "programs in Python are workers, by a setting for each: http.server, and a WebSocket echo",
  needs,
  async (t) => {
    const { program, port, mark } = await startWith(t, {
      HTTP_WORKER_COMMAND: `exec python3 -m http.server --bind "$HOST" --directory '${ROOT}proto' "$PORT"`,
      WS_WORKER_COMMAND: `exec python3 '${FILES}websocket_worker.py'`,
    });
    const session = http2Client(t, port);
    const proto = /service Echo/;
    assert.match(await (await fetch(`http://127.0.0.1:${port}/echo.proto`)).text(), proto);
    assert.match((await h2(session, { ":path": "/echo.proto" })).body.toString(), proto);
    assert.equal((await h2(session, { ":path": "/nothing" })).headers[":status"], 404);
    // It answers without having read the body.
    const posted = await h2(session, { ":method": "POST", ":path": "/" }, "GET /x HTTP/1.1\r\n\r\n");
    assert.equal(posted.headers[":status"], 501);

    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(socket, "open");
    for (const text of ["hello", "x".repeat(60_000)]) {
      const echoed = once(socket, "message");
      socket.send(text);
      assert.equal(String((await echoed)[0]), text);
    }
    const closed = once(socket, "close");
    socket.close(4000, "bye");
    assert.deepEqual((await closed).map(String), ["4000", "bye"]);
    const { stream } = await extendedConnect(session);
    stream.write(clientFrame(1, "over HTTP/2"));
    assert.equal(((await once(stream, "data")) as [Buffer])[0].subarray(2).toString(), "over HTTP/2");
    stream.end(clientFrame(8, Buffer.from([3, 0xe8])));
    await settle(stream);

    assert.equal(await program.stop(), 0);
    assert.deepEqual(family(mark), []);
  },
);

/** One more copy of the worker, started by hand. */
async function another(t: TestContext): Promise<{ readonly url: string; readonly pid: number }> {
  const port = await freePort();
  const program = new Program("python3", [`${FILES}http_worker.py`], {
    PORT: String(port),
    HOST: "127.0.0.1",
  });
  t.after(() => program.stop("SIGKILL"));
  // Its connections are refused until it listens.
  for (;;) {
    const reply = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
    if (reply !== undefined)
      return { url: `http://127.0.0.1:${port}`, pid: ((await reply.json()) as Said).pid };
  }
}

test(
  "HTTP_WORKERS=3 in Python: spread, started again, one added and one taken away under load",
  needs,
  async (t) => {
    const admin = `http://127.0.0.1:${await freePort()}/upstreams/http`;
    const { program, port, mark } = await start(t, {
      HTTP_WORKERS: "3",
      HTTP_WORKER_COMMAND: `exec python3 '${FILES}http_worker.py'`,
      ADMIN_PORT: new URL(admin).port,
    });
    await program.says(/"message":"ready"/);

    const { path, forwarded, bytes } = await ask(port, "/a?b=c", "x".repeat(100_000));
    assert.deepEqual([path, bytes], ["/a?b=c", 100_000]);
    assert.match(forwarded, /^for=127\.0\.0\.1;proto=http;host=/);
    const spread = await load(port, 150);
    assert.equal(spread.size, 3);
    for (const share of spread.values()) assert.ok(share >= 15, `${share} of 150`);

    // One dies between requests: no request notices, and the one that is started in its place gets its share.
    const [dead = 0] = spread.keys();
    process.kill(dead, "SIGKILL");
    await program.says(/http-[123] exited \(SIGKILL\); starting it again in 250 ms/);
    for (let pids = new Set<number>(); pids.size < 3; pids = new Set((await load(port, 16)).keys()));

    // A fourth one comes while requests run.
    const before = (await (await fetch(admin)).json()) as { address: string }[];
    const old = before.map(({ address }) => address);
    const fresh = await another(t);
    const put = async (upstreams: readonly string[]): Promise<unknown> =>
      (await fetch(admin, { method: "PUT", body: upstreams.join() })).json();
    const joining = load(port, 150);
    assert.deepEqual(await put([...old, fresh.url]), { added: [fresh.url], removed: [], kept: old });
    await joining;
    const joined = await load(port, 200);
    assert.equal(joined.size, 4);
    assert.ok((joined.get(fresh.pid) ?? 0) >= 15, `${joined.get(fresh.pid)} of 200`);

    // It goes again, and so does one of the first.
    const [gone = "", ...stay] = old;
    const leaving = load(port, 150);
    assert.deepEqual(await put(stay), { added: [], removed: [gone, fresh.url], kept: stay });
    await leaving;
    const left = await load(port, 100);
    assert.deepEqual([left.size, left.has(fresh.pid)], [2, false]);

    assert.equal(await program.stop(), 0);
    assert.deepEqual(family(mark), []);
  },
);

test(
  "a worker that reads no body behind a GET sees no request in it: Python's http.server, with HTTP/1.1",
  needs,
  async (t) => {
    const { url } = await another(t);
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: url });
    const { requests } = await ask(port);
    const client = new RawClient(t, port);
    client.send(`GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`);
    await client.until(/"requests"/);
    await h2(http2Client(t, port), { ":method": "GET", ":path": "/" }, SMUGGLED);
    assert.equal((await ask(port)).requests, requests + 3);
  },
);
