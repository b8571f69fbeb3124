import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/**
 * Both ends of a connection, by way of a Unix socket: its buffers are the same everywhere, and small. Neither is read before
 * somebody listens to it.
 */
export async function pair(
  t: Pick<TestContext, "after">,
  allowHalfOpen = false,
): Promise<{ edge: Socket; client: Socket }> {
  const folder = mkdtempSync(join(tmpdir(), "oneport-test-"));
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen }, (socket) => accepted.resolve(socket));
  const path = join(folder, "edge");
  await once(server.listen(path), "listening");
  const client = connect({ path, allowHalfOpen });
  const edge = await accepted.promise;
  client.on("error", () => {});
  edge.on("error", () => {});
  t.after(() => {
    client.destroy();
    edge.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { edge, client };
}
