// What other clients notice of floods that go on and on: each connection that is ended is opened anew at once.
import assert from "node:assert/strict";
import { FLOODS } from "../support/floods.ts";
import { pause } from "../support/load.ts";
import { runScript } from "../support/processes.ts";
import { scenario } from "../support/scenarios.ts";
import { edgeAlone } from "../support/stages.ts";

const FLOOD_MS = 5000;

scenario({
  name: `${FLOODS.length} kinds of HTTP/2 floods, four connections at a time, for ${FLOOD_MS / 1000} s`,
  stage: (t) => edgeAlone(t),
  act: async ({ port }, t) => {
    const flooder = runScript(t, "test/support/flooder.ts", [String(port)]);
    await pause(FLOOD_MS);
    flooder.child.stdin?.end();
    const [line] = await flooder.says(/\{.*\}/);
    const ended = JSON.parse(line) as Record<string, number>;
    for (const [why] of FLOODS) assert.ok((ended[why] ?? 0) > 0, `${why} was not ended`);
  },
  expected: { may: {}, wellMs: 500, slowerMs: 50, peakMiB: 350 },
});
