// A worker allows so many streams on a connection: the calls beyond go over others, so that those that last keep nobody waiting.
import assert from "node:assert/strict";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { http2Client, settle } from "../../support/clients.ts";
import type { Reply } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { GRPC, message } from "../../support/grpc.ts";

const STREAMS = 4;

/** A worker that holds the calls it gets, STREAMS on each connection. */
class Holding {
  readonly calls: ServerHttp2Stream[] = [];
  /** The connection that each of them came on. */
  readonly cameOn: unknown[] = [];
  readonly #server = createServer({ settings: { maxConcurrentStreams: STREAMS } });
  readonly #sessions = new Set<ServerHttp2Session>();
  #came = Promise.withResolvers<void>();

  constructor() {
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
    });
    this.#server.on("stream", (stream) => {
      stream.on("error", () => {});
      this.calls.push(stream);
      this.cameOn.push(stream.session);
      this.#came.resolve();
      this.#came = Promise.withResolvers();
    });
  }

  /** Its address. */
  async start(t: TestContext): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      this.#server.close();
      for (const session of this.#sessions) session.destroy();
    });
    return `h2c://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Accepts no further connection. */
  shut(): void {
    // HTTP/2's own would end those that are open.
    Server.prototype.close.call(this.#server);
  }

  /** Connections that have brought a call. */
  get connections(): number {
    return new Set(this.cameOn).size;
  }

  /** Resolves when it has had so many calls. */
  async until(count: number): Promise<void> {
    while (this.calls.length < count) await this.#came.promise;
  }

  answer(index: number): void {
    this.calls[index]?.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  }
}

/** So many calls, each over a connection of its own to the edge. */
function ask(t: TestContext, port: number, count: number): Promise<Reply>[] {
  return Array.from({ length: count }, () => settle(http2Client(t, port).request(GRPC).end(message())));
}

async function statuses(replies: readonly Promise<Reply>[]): Promise<unknown[]> {
  return (await Promise.all(replies)).map(({ headers }) => headers["grpc-status"]);
}

/** The worker's limit is known once a call has been answered. */
async function warm(t: TestContext, worker: Holding, port: number): Promise<void> {
  const [first] = ask(t, port, 1);
  await worker.until(1);
  worker.answer(0);
  await first;
  worker.calls.length = worker.cameOn.length = 0;
}

test("as many calls as there are, four on each connection", async (t) => {
  const worker = new Holding();
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: await worker.start(t) });
  await warm(t, worker, port);
  const replies = ask(t, port, 3 * STREAMS);
  await worker.until(3 * STREAMS);
  assert.equal(worker.connections, 3);
  for (const index of worker.calls.keys()) worker.answer(index);
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));

  // The others are there, but the first one has room again.
  worker.calls.length = worker.cameOn.length = 0;
  const again = ask(t, port, STREAMS);
  await worker.until(STREAMS);
  assert.equal(worker.connections, 1);
  for (const index of worker.calls.keys()) worker.answer(index);
  await statuses(again);
});

test("LIMIT_UPSTREAM_CONNECTIONS=2: what is beyond waits for a stream of either", async (t) => {
  const worker = new Holding();
  const { port } = await testEdge(t, {
    GRPC_UPSTREAMS: await worker.start(t),
    LIMIT_UPSTREAM_CONNECTIONS: "2",
  });
  await warm(t, worker, port);
  const replies = ask(t, port, 2 * STREAMS + 2);
  await worker.until(2 * STREAMS);
  assert.equal(worker.connections, 2);
  const last = worker.cameOn.findLastIndex((session) => session !== worker.cameOn[0]);
  worker.answer(0);
  worker.answer(last);
  await worker.until(2 * STREAMS + 2);
  assert.equal(worker.connections, 2);
  for (const index of worker.calls.keys()) if (index !== 0 && index !== last) worker.answer(index);
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));
});

test("a worker that takes no further connection is no worker that cannot be reached: calls wait for the one that is open", async (t) => {
  const worker = new Holding();
  const { port, lines } = await testEdge(t, {
    GRPC_UPSTREAMS: await worker.start(t),
    HEALTH_INTERVAL_MS: "60000",
  });
  await warm(t, worker, port);
  worker.shut();
  const replies = ask(t, port, STREAMS + 3);
  for (let answered = 0; answered < STREAMS + 3; answered++) {
    await worker.until(Math.min(answered + STREAMS, STREAMS + 3));
    worker.answer(answered);
  }
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));
  assert.equal(worker.connections, 1);
  assert.deepEqual(
    lines.filter(({ severity }) => severity === "ERROR"),
    [],
  );
});
