import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamTable } from "../../edge/http2/stream-table.ts";

test("200,000 random openings and closings leave what a Map would", () => {
  const table = new StreamTable<{ id: number }>();
  const model = new Map<number, { id: number }>();
  let state = 5;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7f_ff_ff_ff;
    return (state >> 8) % below;
  };
  for (let id = 1; id < 400_000; id += 2) {
    const stream = { id };
    table.add(stream);
    model.set(id, stream);
    // Some streams last long, so that their successors come round to their places.
    while (model.size > 100 + (id % 400 < 100 ? 150 : 0)) {
      const gone = [...model.keys()][next(4) === 0 ? next(model.size) : model.size - 1] ?? 0;
      assert.equal(table.get(gone), model.get(gone));
      table.delete(gone);
      model.delete(gone);
      assert.equal(table.get(gone), undefined);
    }
    assert.equal(table.size, model.size);
  }
  assert.deepEqual(
    table
      .all()
      .map((stream) => stream.id)
      .toSorted((a, b) => a - b),
    [...model.keys()].toSorted((a, b) => a - b),
  );
  for (const [id, stream] of model) assert.equal(table.get(id), stream);
  table.delete(2_000_001);
  assert.equal(table.size, model.size);
});
