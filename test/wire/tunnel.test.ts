// A tunnel ends when both directions have, and the worker has been given all: in whatever order that comes about, and once.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { test } from "node:test";
import type { EdgeError } from "../../edge/errors.ts";
import type { BodyReceiver, Exchange } from "../../edge/exchange.ts";
import { NO_SOURCE } from "../../edge/exchange.ts";
import { Tunnel } from "../../edge/proxy/tunnel.ts";
import { Tunnels } from "../../edge/proxy/tunnels.ts";
import { pair } from "../support/pair.ts";

const HALF_CLOSED_MS = 60_000;

/** More than the kernel takes for a worker that reads nothing. */
const MUCH = Buffer.alloc(1_000_000, "much");

/** The client's side of a tunnel: what it got, and how often it heard of an end. */
class Client {
  gone = false;
  text = "";
  ends = 0;
  source = NO_SOURCE;
  receiver: BodyReceiver | undefined;

  receive(receiver: BodyReceiver): void {
    this.receiver = receiver;
  }

  consume(): void {}

  write(chunk: Buffer): void {
    this.text += chunk.toString("latin1");
  }

  end(): void {
    this.ends++;
  }
}

interface Tunnelled {
  readonly client: Client;
  readonly tunnel: Tunnel;
  /** The worker's end of its connection, which it does not read unless it is told to. */
  readonly worker: Socket;
  /** The edge's end of that. */
  readonly edge: Socket;
  /** What http2-proxy would have heard: `close`, or the code of an error. */
  readonly heard: string[];
  /** Resolves when it hears something. */
  readonly over: Promise<void>;
}

async function tunnelled(t: TestContext): Promise<Tunnelled> {
  const { edge, client: worker } = await pair(t, true);
  const client = new Client();
  const tunnel = new Tunnel(client as unknown as Exchange);
  const heard: string[] = [];
  const over = Promise.withResolvers<void>();
  const hear = (what: string): void => {
    heard.push(what);
    over.resolve();
  };
  tunnel.on("close", () => hear("close"));
  tunnel.on("error", (error: EdgeError) => hear(error.code));
  tunnel.start(10_000);
  const receive = (onBytes: (bytes: Buffer) => void): void => void edge.on("data", onBytes);
  tunnel.opened({ socket: edge, receive }, Buffer.alloc(0));
  t.after(() => tunnel.destroy());
  return { client, tunnel, worker, edge, heard, over: over.promise };
}

/** The worker ends its direction; resolves when the edge has heard of it. */
async function workerEnds({ worker, edge }: Tunnelled): Promise<void> {
  worker.end("last words");
  await once(edge, "end");
}

function clientEnds({ client }: Tunnelled): void {
  client.receiver?.end([]);
}

/** Whatever is still to come of what has happened has come. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const ORDERS: [order: string, end: (each: Tunnelled) => Promise<void>][] = [
  [
    "the client, then the worker",
    async (each) => {
      clientEnds(each);
      await settled();
      await workerEnds(each);
    },
  ],
  [
    "the worker, then the client",
    async (each) => {
      await workerEnds(each);
      await settled();
      clientEnds(each);
    },
  ],
  [
    "the worker, and the client as soon as that is known",
    async (each) => {
      each.edge.once("end", () => clientEnds(each));
      await workerEnds(each);
    },
  ],
  [
    "the client, while the worker's end is on its way",
    async (each) => {
      const ended = workerEnds(each);
      clientEnds(each);
      await ended;
    },
  ],
];

for (const [order, end] of ORDERS) {
  for (const sent of [Buffer.from("first words"), MUCH]) {
    const unread = sent === MUCH;
    test(`${order} (${unread ? "which has not read all" : "which reads"}): one end each, and one of the tunnel`, async (t) => {
      const each = await tunnelled(t);
      const { client, worker, edge, heard, tunnel } = each;
      let ends = 0;
      edge.on("end", () => ends++);
      const read = unread ? undefined : worker.toArray();
      client.receiver?.data(sent);
      await end(each);
      if (!unread) await each.over;
      await settled();
      assert.deepEqual(heard, unread ? [] : ["close"]);
      assert.equal(tunnel.finished, true);
      assert.deepEqual([client.text, client.ends], ["last words", 1]);
      // Only now does the worker read: what was written before both ends must not be lost by them.
      const got = Buffer.concat((await (read ?? worker.toArray())) as Buffer[]);
      assert.ok(got.equals(sent), `${got.length} bytes of ${sent.length}`);
      await each.over;
      await settled();
      assert.deepEqual(heard, ["close"]);
      assert.deepEqual([client.ends, ends], [1, 1]);
    });
  }
}

test("one end alone is not the tunnel's: the other direction goes on", async (t) => {
  const [first, second] = [await tunnelled(t), await tunnelled(t)];
  clientEnds(first);
  await workerEnds(second);
  await settled();
  assert.deepEqual([first.heard, second.heard], [[], []]);
  assert.deepEqual([first.tunnel.finished, second.tunnel.finished], [false, false]);
  first.worker.write("still here");
  await once(first.edge, "data");
  assert.equal(first.client.text, "still here");
  second.client.receiver?.data(Buffer.from("still here"));
  assert.equal(String((await once(second.worker, "data"))[0]), "still here");
});

const LINGERING: [who: string, end: (each: Tunnelled) => unknown][] = [
  ["the worker does not end as well", (each) => clientEnds(each)],
  ["the client does not end as well", (each) => workerEnds(each)],
  [
    "the worker has not read all when both have ended",
    async (each) => {
      each.client.receiver?.data(MUCH);
      clientEnds(each);
      await workerEnds(each);
    },
  ],
];

for (const [who, end] of LINGERING) {
  test(`a tunnel of which ${who} is cut after a minute`, async (t) => {
    const each = await tunnelled(t);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    await end(each);
    t.mock.timers.tick(HALF_CLOSED_MS - 1);
    assert.deepEqual(each.heard, []);
    t.mock.timers.tick(1);
    assert.deepEqual(each.heard, ["upstream_reset"]);
    t.mock.timers.tick(HALF_CLOSED_MS);
    assert.deepEqual(each.heard, ["upstream_reset"]);
  });
}

test("a tunnel whose client does not answer a Close frame of the edge's is cut after a minute", async (t) => {
  const each = await tunnelled(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  each.tunnel.close({ code: 1001, reason: "" });
  assert.equal(each.client.text, "\x88\x02\x03\xe9");
  t.mock.timers.tick(HALF_CLOSED_MS - 1);
  assert.deepEqual(each.heard, []);
  t.mock.timers.tick(1);
  assert.deepEqual(each.heard, ["client_gone"]);
});

test("so is one whose worker does not end the frame behind which the edge would say goodbye", async (t) => {
  const each = await tunnelled(t);
  each.worker.write("\x82\x05half", "latin1");
  await once(each.edge, "data");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  each.tunnel.close({ code: 1001, reason: "" });
  t.mock.timers.tick(HALF_CLOSED_MS - 1);
  assert.deepEqual(each.heard, []);
  t.mock.timers.tick(1);
  assert.deepEqual(each.heard, ["upstream_reset"]);
  assert.equal(each.client.text, "\x82\x05half");
});

test("a tunnel that is destroyed says so once, and waits for nothing that ends afterwards", async (t) => {
  const each = await tunnelled(t);
  each.client.receiver?.data(MUCH);
  each.tunnel.destroy();
  const timers = t.mock.method(globalThis, "setTimeout");
  clientEnds(each);
  await workerEnds(each);
  each.worker.resume();
  await once(each.worker, "end");
  await settled();
  assert.deepEqual(each.heard, ["close"]);
  assert.equal(timers.mock.callCount(), 0);
});

const GONE = { code: "client_gone" } as EdgeError;

test("a client whose connection closes when both have ended is no failure, and the worker still gets all", async (t) => {
  const each = await tunnelled(t);
  each.client.receiver?.data(MUCH);
  clientEnds(each);
  await workerEnds(each);
  each.client.gone = true;
  each.client.receiver?.abort(GONE);
  await settled();
  assert.deepEqual(each.heard, []);
  assert.equal(Buffer.concat((await each.worker.toArray()) as Buffer[]).length, MUCH.length);
  await each.over;
  assert.deepEqual(each.heard, ["close"]);
});

test("a client that goes when only the worker has ended is no failure", async (t) => {
  const each = await tunnelled(t);
  await workerEnds(each);
  each.client.gone = true;
  each.client.receiver?.abort(GONE);
  assert.deepEqual(each.heard, ["close"]);
});

test("a client that goes before is one", async (t) => {
  const each = await tunnelled(t);
  clientEnds(each);
  each.client.receiver?.abort(GONE);
  assert.deepEqual(each.heard, ["client_gone"]);
});

test("what a worker has yet to read of a client that has gone is held by the tunnel, which can be ended", async (t) => {
  const each = await tunnelled(t);
  const { client, tunnel, heard } = each;
  const tunnels = new Tunnels(0);
  t.after(() => tunnels.destroy());
  tunnels.add(tunnel, {});
  client.receiver?.data(MUCH);
  await workerEnds(each);
  clientEnds(each);
  // As long as there is a client, its connection holds it.
  assert.deepEqual(tunnels.orphans(), []);
  client.gone = true;
  const [orphan] = tunnels.orphans();
  assert.ok(orphan !== undefined && orphan.held > 0 && orphan.held <= 2 * MUCH.length);
  assert.equal(client.receiver?.held, orphan.held);
  orphan.shed();
  assert.deepEqual(heard, ["client_gone"]);
});
