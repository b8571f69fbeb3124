import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { freePort } from "./family.ts";
import { Program, which } from "./processes.ts";

export const haproxy = which("haproxy");

/** HAProxy in front: HTTP/1.1 in, HTTP/2 to the edge, as Cloud Run with --use-http2 does. */
export async function startHaproxy(t: Pick<TestContext, "after">, edgePort: number): Promise<number> {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  const port = await freePort();
  writeFileSync(
    `${folder}/haproxy.cfg`,
    `defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend front
  bind 127.0.0.1:${port}
  default_backend edge
backend edge
  server edge 127.0.0.1:${edgePort} proto h2
`,
  );
  const program = new Program(haproxy ?? "", ["-f", `${folder}/haproxy.cfg`, "-db"]);
  t.after(() => program.stop("SIGKILL"));
  await untilOpen(port, program);
  return port;
}

/** HAProxy does not say when it listens; a refused connection answers at once, so asking again is not a guess at its speed. */
async function untilOpen(port: number, program: Program): Promise<void> {
  while (program.running) {
    const socket = connect(port, "127.0.0.1");
    const open = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`haproxy ended: ${program.err}`);
}
