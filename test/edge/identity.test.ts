import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { IdToken } from "../../edge/auth/id-token.ts";
import { withoutTokens } from "../../edge/auth/id-token.ts";
import { Identity } from "../../edge/auth/identity.ts";
import { EdgeError } from "../../edge/errors.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** An identity on a clock of the test's own, whose fetches the test answers. */
class Subject {
  readonly identity: Identity;
  readonly fetches: PromiseWithResolvers<IdToken>[] = [];
  readonly said: string[] = [];
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000_000_000 });
    this.identity = new Identity({
      fetch: () => {
        const fetch = Promise.withResolvers<IdToken>();
        this.fetches.push(fetch);
        return fetch.promise;
      },
      waitMs: 3000,
      now: Date.now,
      failing: (reason) => this.said.push(reason),
      recovered: () => this.said.push("recovered"),
    });
    t.after(() => this.identity.close());
  }

  /** Answers the last fetch. */
  async give(token: string, lifeMs = HOUR): Promise<void> {
    this.fetches.at(-1)?.resolve({ token, expires: Date.now() + lifeMs });
    await settled();
  }

  async fail(reason = "down"): Promise<void> {
    this.fetches.at(-1)?.reject(new Error(reason));
    await settled();
  }

  async pass(ms: number): Promise<void> {
    this.#t.mock.timers.tick(ms);
    await settled();
  }

  get token(): string | undefined {
    return this.identity.fields[1];
  }
}

/** Once all that follows from what has happened has happened. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "ok",
    (thrown: unknown) => (thrown instanceof EdgeError ? thrown.code : "other"),
  );
}

test("a token is fetched at once, and the list is the same one while it is", async (t) => {
  const subject = new Subject(t);
  assert.equal(subject.identity.isReady, false);
  assert.throws(() => subject.identity.fields, { code: "identity_unavailable" });
  await subject.give("a.b.c");
  assert.deepEqual(subject.identity.fields, ["x-serverless-authorization", "Bearer a.b.c"]);
  assert.equal(subject.identity.fields, subject.identity.fields);
  assert.equal(subject.fetches.length, 1);
});

test("who asks before it is there waits for the one fetch, all together", async (t) => {
  const subject = new Subject(t);
  const asking = Array.from({ length: 50 }, () => subject.identity.ready());
  await subject.give("a.b.c");
  await Promise.all(asking);
  assert.equal(subject.fetches.length, 1);
});

test("it is renewed five minutes before its end, and serves until its successor is there", async (t) => {
  const subject = new Subject(t);
  await subject.give("first");
  await subject.pass(55 * MINUTE - 1);
  assert.equal(subject.fetches.length, 1);
  await subject.pass(1);
  assert.equal(subject.fetches.length, 2);
  const before = subject.identity.fields;
  assert.equal(subject.token, "Bearer first");
  await subject.give("second");
  assert.equal(subject.token, "Bearer second");
  assert.notEqual(subject.identity.fields, before);
  await subject.pass(55 * MINUTE);
  assert.equal(subject.fetches.length, 3);
});

test("of a short life it is a fifth", async (t) => {
  const subject = new Subject(t);
  await subject.give("a", 10 * MINUTE);
  await subject.pass(8 * MINUTE - 1);
  assert.equal(subject.fetches.length, 1);
  await subject.pass(1);
  assert.equal(subject.fetches.length, 2);
});

test("one that is as good as over is not asked for without a pause", async (t) => {
  const subject = new Subject(t);
  await subject.give("a", 10);
  await subject.pass(999);
  assert.equal(subject.fetches.length, 1);
  await subject.pass(1);
  assert.equal(subject.fetches.length, 2);
});

test("while it cannot be renewed it serves until ten seconds before its end, and never after", async (t) => {
  const subject = new Subject(t);
  await subject.give("a");
  await subject.pass(55 * MINUTE);
  await subject.fail();
  assert.equal(subject.token, "Bearer a");
  await subject.pass(5 * MINUTE - 10_001);
  assert.equal(subject.token, "Bearer a");
  await subject.pass(1);
  assert.throws(() => subject.token, { code: "identity_unavailable" });
});

test("while it cannot be had nobody waits for it, the pauses are doubled, and the log hears of it once", async (t) => {
  const subject = new Subject(t);
  const first = codeOf(subject.identity.ready());
  await subject.fail("no metadata server");
  assert.equal(await first, "identity_unavailable");
  assert.equal(await codeOf(subject.identity.ready()), "identity_unavailable");
  for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
    const count = subject.fetches.length;
    await subject.pass(pause * 1000 - 1);
    assert.equal(subject.fetches.length, count, `${pause} s`);
    await subject.pass(1);
    assert.equal(subject.fetches.length, count + 1, `${pause} s`);
    await subject.fail();
  }
  await subject.pass(60_000);
  await subject.give("back");
  assert.equal(subject.token, "Bearer back");
  assert.deepEqual(subject.said, ["no metadata server", "recovered"]);
});

test("the reason goes with the error, for the log", async (t) => {
  const subject = new Subject(t);
  await subject.fail("no metadata server");
  await assert.rejects(subject.identity.ready(), { reason: "no metadata server" });
});

test("a slow fetch keeps nobody waiting for more than that, and is used when it comes", async (t) => {
  const subject = new Subject(t);
  const asking = codeOf(subject.identity.ready());
  await subject.pass(3000);
  assert.equal(await asking, "identity_unavailable");
  await subject.give("late");
  assert.equal(subject.token, "Bearer late");
});

test("a fetch that hangs has failed after ten seconds, and another is begun", async (t) => {
  const subject = new Subject(t);
  await subject.pass(10_000);
  assert.deepEqual(subject.said, ["no answer in time"]);
  await subject.pass(1000);
  assert.equal(subject.fetches.length, 2);
  await subject.give("a");
  assert.equal(subject.token, "Bearer a");
});

test("an edge that slept past the end of its token waits for the next one, and refuses nobody", async (t) => {
  const subject = new Subject(t);
  await subject.give("old");
  // Its timer has not run, as on a platform that takes the CPU away between requests.
  t.mock.timers.setTime(Date.now() + 2 * HOUR);
  const asking = codeOf(subject.identity.ready());
  await settled();
  assert.equal(subject.fetches.length, 2);
  await subject.give("new");
  assert.equal(await asking, "ok");
  assert.equal(subject.token, "Bearer new");
});

test("one that slept after a fetch had failed does not hold that against who comes next", async (t) => {
  const subject = new Subject(t);
  await subject.fail();
  t.mock.timers.setTime(Date.now() + HOUR);
  const asking = codeOf(subject.identity.ready());
  await subject.give("new");
  assert.equal(await asking, "ok");
});

test("a token that is over when it comes is none", async (t) => {
  const subject = new Subject(t);
  await subject.give("a", 0);
  assert.equal(await codeOf(subject.identity.ready()), "identity_unavailable");
  assert.deepEqual(subject.said, ["the token has expired already"]);
});

test("once closed it asks no more", async (t) => {
  const subject = new Subject(t);
  await subject.give("a");
  subject.identity.close();
  await subject.pass(2 * HOUR);
  assert.equal(subject.fetches.length, 1);
});

const JWT = `eyJhbGciOiJSUzI1NiJ9.${"x".repeat(40)}.${"y".repeat(40)}`;
for (const [message, want] of [
  ["status 404", "status 404"],
  [`Wrong number of segments in token: ${JWT}`, "Wrong number of segments in token: …"],
  [`${JWT} and ${JWT}`, "… and …"],
  ["connect ECONNREFUSED 169.254.169.254:80", "connect ECONNREFUSED 169.254.169.254:80"],
  ["first\nsecond", "first"],
  ["z".repeat(1000), "z".repeat(300)],
] as const)
  test(`a reason for the log: ${message.slice(0, 40)}`, () => assert.equal(withoutTokens(message), want));

test("a token that lives longer than a timer can wait is not fetched again and again", async (t) => {
  const subject = new Subject(t);
  const day = 24 * HOUR;
  await subject.give("long", 60 * day);
  await subject.pass(HOUR);
  assert.deepEqual([subject.fetches.length, subject.token], [1, "Bearer long"]);
  await subject.pass(day);
  assert.equal(subject.fetches.length, 2);
});
