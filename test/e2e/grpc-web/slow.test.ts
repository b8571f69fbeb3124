import assert from "node:assert/strict";
import { test } from "node:test";
import { message, withWorker } from "../../support/grpc.ts";
import { TEXT, WebCall } from "../../support/grpc-web.ts";

const MIB = 1024 * 1024;

/** Resolves with a count once it grows no more. */
async function settled(count: () => number): Promise<number> {
  for (let before = -1; count() !== before;) {
    before = count();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return count();
}

for (const version of ["1.1", "2"] as const) {
  test(`base64 over HTTP/${version}: a client that reads slowly holds the worker back`, async (t) => {
    let sent = 0;
    const { port } = await withWorker(t, (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      const chunk = message(64 * 1024);
      const pump = (): void => {
        while (!stream.destroyed && sent < 256 * MIB) {
          sent += chunk.length;
          if (!stream.write(chunk)) return void stream.once("drain", pump);
        }
      };
      pump();
    });
    const call = new WebCall(t, port, version, { headers: TEXT }).end();
    await call.head;
    call.hold();
    assert.ok((await settled(() => sent)) < 16 * MIB, `the worker could send ${sent} bytes`);
  });

  test(`base64 over HTTP/${version}: a worker that reads slowly holds the client back`, async (t) => {
    const { port } = await withWorker(t, (stream) => void stream.pause());
    const call = new WebCall(t, port, version, { headers: TEXT });
    const chunk = "A".repeat(64 * 1024);
    let left = 0;
    const pump = (): void => {
      if (left < 256 * MIB) call.write(chunk, () => ((left += chunk.length), pump()));
    };
    pump();
    assert.ok((await settled(() => left)) < 16 * MIB, `the client could send ${left} bytes`);
  });
}
