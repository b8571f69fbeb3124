import assert from "node:assert/strict";
import { test } from "node:test";
import type { Address } from "../../edge/settings/parse.ts";
import { address } from "../../edge/settings/parse.ts";
import type { Endpoint } from "../../edge/upstream/endpoint.ts";
import { Pool } from "../../edge/upstream/pool.ts";

const [A, B, C] = ["http://a:1", "http://b:1", "http://c:1"].map(address("http")) as [
  Address,
  Address,
  Address,
];

type Ends = Endpoint<string>;

function poolOf(...addresses: Address[]): { pool: Pool<string>; closed: string[] } {
  const closed: string[] = [];
  const pool = new Pool<string>(
    2,
    ({ name }) => name,
    (name) => closed.push(name),
  );
  pool.swap(addresses);
  return { pool, closed };
}

test("leases go to the least loaded", () => {
  const { pool } = poolOf(A, B);
  const first = pool.lease()!;
  const second = pool.lease()!;
  assert.notEqual(first.endpoint, second.endpoint);
  second.release();
  assert.equal(pool.lease()!.endpoint, second.endpoint);
});

test("a pool that was given nobody is not one whose workers are away, or that was closed", () => {
  const { pool } = poolOf(A);
  pool.endpoints[0]!.refused();
  assert.deepEqual([pool.lease(), pool.isNone], [undefined, false]);
  pool.close();
  assert.deepEqual([pool.lease(), pool.isNone], [undefined, false]);
  pool.swap([]);
  assert.deepEqual([pool.lease(), pool.isNone], [undefined, true]);
  pool.swap([B]);
  assert.equal(pool.isNone, false);
});

test("an idle pool takes turns", () => {
  const { pool } = poolOf(A, B, C);
  const names = Array.from({ length: 6 }, () => {
    const lease = pool.lease()!;
    lease.release();
    return lease.endpoint.address.name;
  });
  assert.deepEqual(names, [A.name, B.name, C.name, A.name, B.name, C.name]);
});

test("an unhealthy or tried endpoint is passed over", () => {
  const { pool } = poolOf(A, B);
  pool.endpoints[0]!.refused();
  const lease = pool.lease()!;
  assert.equal(lease.endpoint.address, B);
  assert.equal(pool.lease(new Set([lease.endpoint])), undefined);
});

test("an endpoint that has as much as it may have is passed over, and a release makes room", () => {
  const { pool } = poolOf(A, B);
  const leases = Array.from({ length: 4 }, () => pool.lease()!);
  assert.deepEqual([pool.lease(), pool.isBusy], [undefined, true]);
  leases[0]!.release();
  assert.equal(pool.isBusy, true);
  assert.equal(pool.lease()!.endpoint, leases[0]!.endpoint);
});

test("a pool without a healthy endpoint is not busy", () => {
  const { pool } = poolOf(A);
  pool.lease();
  pool.lease();
  pool.endpoints[0]!.refused();
  assert.deepEqual([pool.lease(), pool.isBusy], [undefined, false]);
});

test("where no endpoint is usable, those are used that accept connections", () => {
  const { pool } = poolOf(A, B, C);
  const [a, b, c] = pool.endpoints as [Ends, Ends, Ends];
  a.refused();
  b.eject(0, { ejectFailures: 1, ejectMs: 1, ejectMaxMs: 1 });
  const leased = pool.lease()!;
  assert.equal(leased.endpoint, c);
  // There is one that is usable: those that are not do not stand in for it.
  assert.equal(pool.lease(new Set([c])), undefined);
  leased.release();
  c.checked("it is ill", { healthFailures: 1, healthSuccesses: 1 });
  const names = new Set([pool.lease()!.endpoint, pool.lease()!.endpoint]);
  assert.deepEqual(names, new Set([b, c]));
  assert.equal(pool.isBusy, false);
  assert.deepEqual(
    [pool.lease(), pool.lease(), pool.lease()].map((lease) => lease !== undefined),
    [true, true, false],
  );
  assert.equal(pool.isBusy, true);
});

test("an endpoint has another while one is usable", () => {
  const { pool } = poolOf(A, B);
  const [a, b] = pool.endpoints as [Ends, Ends];
  assert.deepEqual([pool.hasOther(a), pool.hasOther(b)], [true, true]);
  a.refused();
  assert.deepEqual([pool.hasOther(a), pool.hasOther(b)], [true, false]);
});

test("a release counts once", () => {
  const { pool } = poolOf(A);
  const lease = pool.lease()!;
  lease.release();
  lease.release();
  assert.equal(pool.endpoints[0]!.active, 0);
});

test("a swapped-out endpoint drains, then closes", () => {
  const { pool, closed } = poolOf(A);
  const lease = pool.lease()!;
  pool.swap([B]);
  assert.deepEqual(closed, []);
  lease.release();
  assert.deepEqual(closed, [A.name]);
});

test("an idle swapped-out endpoint closes at once, a kept one stays open", () => {
  const { pool, closed } = poolOf(A, B);
  pool.swap([B, C]);
  assert.deepEqual(closed, [A.name]);
  assert.deepEqual(
    pool.endpoints.map(({ connection }) => connection),
    [B.name, C.name],
  );
});

test("a pool that is closed ends each endpoint once, busy or not", () => {
  const { pool, closed } = poolOf(A, B);
  const lease = pool.lease()!;
  pool.close();
  assert.deepEqual(closed, [A.name, B.name]);
  lease.release();
  assert.deepEqual(closed, [A.name, B.name]);
});

test("a pool that is closed ends an endpoint that was taken out of it before, once its last lease is over", () => {
  const { pool, closed } = poolOf(A);
  const lease = pool.lease()!;
  pool.swap([B]);
  pool.close();
  assert.deepEqual(closed, [B.name]);
  lease.release();
  assert.deepEqual(closed, [B.name, A.name]);
});
