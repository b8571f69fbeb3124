// The window that all streams of a connection to a worker share: when it is shut, and who hears that it opens.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import { Allowance } from "../../edge/http2/allowance.ts";
import { Connection } from "../../edge/http2/connection.ts";
import { readConfig } from "../../edge/settings/config.ts";
import { frame } from "../support/frames.ts";
import { pair } from "../support/pair.ts";

const WINDOW = 65_535;

test("a connection that was sent its whole window tells when it opens again", async (t) => {
  const { edge, client: worker } = await pair(t);
  worker.resume();
  const states: string[] = [];
  const connection = new Connection(edge, {
    role: "client",
    streamWindow: WINDOW,
    connectionWindow: WINDOW,
    maxStreams: 0,
    allowance: new Allowance(),
    maxHeadBytes: 65_536,
    connectProtocol: false,
    limits: readConfig({}),
    exceeded: () => {},
    abortedBy: () => new EdgeError("upstream_reset"),
    onState: (state) => void states.push(state),
  });
  edge.on("data", (bytes: Buffer) => connection.receive(bytes));
  const says = async (...frames: Buffer[]): Promise<void> => {
    const heard = once(edge, "data");
    worker.write(Buffer.concat(frames));
    await heard;
  };
  await says(frame("SETTINGS", 0, 0));
  assert.deepEqual(states, ["ready"]);

  const stream = connection.open(
    [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"],
    [],
    [],
  );
  stream.write(Buffer.alloc(WINDOW - 1));
  assert.equal(connection.isFlowing, true);
  stream.write(Buffer.alloc(1));
  assert.equal(connection.isFlowing, false);

  await says(frame("WINDOW_UPDATE", 0, 0, Buffer.from([0, 0, 0, 1])));
  assert.equal(connection.isFlowing, true);
  assert.deepEqual(states, ["ready", "ready"]);
  await says(frame("WINDOW_UPDATE", 0, 0, Buffer.from([0, 0, 0, 1])));
  assert.deepEqual(states, ["ready", "ready"]);
});
