import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { RawClient } from "./clients.ts";
import { testEdge } from "./edge.ts";
import type { LenientWorker, SeenRequest } from "./lenient-worker.ts";
import { PERSONALITIES, lenientWorker, values } from "./lenient-worker.ts";

/** An edge in front of a worker that is careless in one way. */
export interface Front {
  readonly name: string;
  readonly port: number;
  readonly worker: LenientWorker;
}

/** One for each way to be careless, and for each way to carry what comes over HTTP/1.1. */
export async function fronts(
  t: Pick<TestContext, "after">,
  carriers: readonly string[],
): Promise<readonly Front[]> {
  const made = PERSONALITIES.flatMap(([why, leniency]) =>
    carriers.map(async (carrier) => {
      const worker = await lenientWorker(t, leniency);
      const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker.url, HTTP1_CARRIER: carrier });
      return { name: `${why}, ${carrier}`, port, worker };
    }),
  );
  return Promise.all(made);
}

/** What an attacker wants the worker to take for a request of its own, with an identity of its own. */
export const SMUGGLED =
  "GET /smuggled HTTP/1.1\r\nHost: a\r\nVia: 1.1 nobody\r\nX-Auth-Email: root@example.com\r\n\r\n";

/** Sends what is to be sent, and waits until the edge has answered it. */
export type Attack = (t: TestContext, port: number) => Promise<void>;

/**
 * Attacks every front, each alone, then asks for one thing more behind it: the worker must have seen `want` requests of the attack, all
 * written by the edge, and that last one, and nothing lies on a connection. Answers what it saw of the attack.
 */
export async function underAttack(
  t: TestContext,
  all: readonly Front[],
  attack: Attack,
  want: number,
): Promise<readonly SeenRequest[]> {
  const seen = await Promise.allSettled(
    all.map(async ({ name, port, worker }) => {
      await attack(t, port);
      const after = new RawClient(t, port);
      after.send("GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      assert.match(await after.closed, /^HTTP\/1\.1 200 [^]*\r\n\r\nok$/, name);
      const requests = worker.requests.splice(0);
      const targets = requests.map(({ target }) => target);
      const first = targets.slice(0, want).map(() => "/a");
      assert.deepEqual(targets.map(pathOnly), [...first, "/after"], name);
      assert.equal(first.length, want, `${name}: the attack's own request`);
      for (const request of requests) {
        assert.match(values(request, "via").join(), /(^|, )[12]\.[01] oneport$/, name);
        assert.deepEqual(values(request, "x-auth-email"), [], name);
        assert.equal(values(request, "host").length, 1, name);
      }
      assert.deepEqual(requests.at(-1)?.body, "", name);
      assert.deepEqual(worker.leftovers(), [], name);
      return requests.slice(0, want);
    }),
  );
  // Each is waited for: what one still does would be seen by the next attack.
  return seen.flatMap((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}

function pathOnly(target: string): string {
  return target.split("?", 1)[0] ?? "";
}
