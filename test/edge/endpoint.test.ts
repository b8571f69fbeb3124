// Whether a worker gets new requests, by what becomes of its connections, checks and exchanges. Time is a number here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { address } from "../../edge/settings/parse.ts";
import { Endpoint } from "../../edge/upstream/endpoint.ts";

const POLICY = {
  healthFailures: 3,
  healthSuccesses: 2,
  ejectFailures: 3,
  ejectMs: 1000,
  ejectMaxMs: 5000,
};

function endpoint(): Endpoint<string> {
  return new Endpoint(address("http")("http://a:1"), "connection");
}

const checks: [why: string, results: string, usable: string, turns: string][] = [
  ["one that passes", "+++", "yyy", "..."],
  ["failures that are not enough", "--+--+--", "yyyyyyyy", "........"],
  ["enough failures in a row", "---", "yyn", "..!"],
  ["more failures are no news", "-----", "yynnn", "..!.."],
  ["one good check is not enough", "---+-+-+", "yynnnnnn", "..!....."],
  ["enough good checks in a row", "---++", "yynny", "..!.!"],
  ["back, and away again", "---++---", "yynnyyyn", "..!.!..!"],
];
for (const [why, results, usable, turns] of checks) {
  test(`checks: ${why}`, () => {
    const worker = endpoint();
    const seen = Array.from(results, (result) => {
      const turned = worker.checked(result === "+" ? undefined : "it is ill", POLICY);
      return [worker.isUsable ? "y" : "n", turned ? "!" : "."] as const;
    });
    assert.deepEqual([seen.map(([is]) => is).join(""), seen.map(([, is]) => is).join("")], [usable, turns]);
    assert.equal(worker.counts.passed + worker.counts.failed, results.length);
    assert.equal(worker.failing, worker.isUsable ? undefined : "it is ill");
  });
}

test("checks: the last reason is the one that is told", () => {
  const worker = endpoint();
  for (const why of ["a", "b", "c", "d"]) worker.checked(why, POLICY);
  assert.equal(worker.failing, "d");
  worker.checked(undefined, POLICY);
  assert.equal(worker.failing, "d");
});

test("a refused connection is news once, and the worker is usable when it is reached again", () => {
  const worker = endpoint();
  assert.deepEqual([worker.refused(), worker.refused(), worker.isUsable], [true, false, false]);
  worker.reached();
  assert.deepEqual([worker.refused(), worker.isUsable], [true, false]);
});

test("what does not hold any more leaves the rest as it was", () => {
  const worker = endpoint();
  worker.refused();
  worker.eject(0, POLICY);
  for (let i = 0; i < 3; i++) worker.checked("it is ill", POLICY);
  worker.reached();
  worker.back(1000);
  assert.equal(worker.isUsable, false);
  for (let i = 0; i < 2; i++) worker.checked(undefined, POLICY);
  assert.equal(worker.isUsable, true);
});

/** A digit is a failure, so many hundreds of milliseconds after what came before; `+` an exchange that went well. */
const failures: [why: string, exchanges: string, tooMany: string][] = [
  ["as many in a row as it may have", "22", ".."],
  ["one more", "222", "..!"],
  ["a good one between them", "22+22", "....."],
  ["a good one, and enough after it", "22+222", ".....!"],
  ["a connection that is lost with all of its streams is one", "20000000", "........"],
  ["and so are two, and three", "2000200020", "........!."],
  ["it goes on while nobody leaves it out", "2222", "..!!"],
];
for (const [why, exchanges, tooMany] of failures) {
  test(`failures: ${why}`, () => {
    const worker = endpoint();
    let now = 0;
    const seen = Array.from(exchanges, (what) => {
      if (what === "+") worker.succeeded(now);
      else now += Number(what) * 100;
      return what !== "+" && worker.failed(now, POLICY) ? "!" : ".";
    });
    assert.equal(seen.join(""), tooMany);
  });
}

test("failures: with 0 as the limit none is too many", () => {
  const worker = endpoint();
  const seen = Array.from({ length: 20 }, (_, i) => worker.failed(i * 1000, { ...POLICY, ejectFailures: 0 }));
  assert.ok(!seen.includes(true));
});

test("an ejection is longer each time, up to the longest", () => {
  const worker = endpoint();
  const lengths = [0, 0, 0, 0, 0].map(() => {
    const ms = worker.eject(0, POLICY);
    worker.back(ms);
    return ms;
  });
  assert.deepEqual(lengths, [1000, 2000, 4000, 5000, 5000]);
  assert.equal(worker.counts.ejections, 5);
});

test("an ejection is over when it is over, and what fails meanwhile does not count", () => {
  const worker = endpoint();
  worker.eject(500, POLICY);
  assert.deepEqual([worker.isUsable, worker.ejectedUntil], [false, 1500]);
  for (let now = 600; now < 1500; now += 200) assert.equal(worker.failed(now, POLICY), false);
  worker.back(1500);
  assert.deepEqual([worker.isUsable, worker.ejectedUntil], [true, 0]);
  assert.deepEqual(
    [1600, 1800, 2000].map((now) => worker.failed(now, POLICY)),
    [false, false, true],
  );
});

const forgotten: [why: string, goodAt: number, next: number][] = [
  ["before it has been good for as long as it was out: not forgotten", 1900, 2000],
  ["good for as long as it was out: forgotten", 2000, 1000],
];
for (const [why, goodAt, next] of forgotten) {
  test(`an exchange that goes well ${why}`, () => {
    const worker = endpoint();
    worker.eject(0, POLICY);
    worker.back(1000);
    assert.equal(worker.isMarked, true);
    worker.succeeded(goodAt);
    assert.equal(worker.eject(9000, POLICY), next);
  });
}

test("there is nothing to forget of a worker that never failed", () => {
  const worker = endpoint();
  assert.equal(worker.isMarked, false);
  worker.failed(1, POLICY);
  assert.equal(worker.isMarked, true);
  worker.succeeded(2);
  assert.equal(worker.isMarked, false);
});
