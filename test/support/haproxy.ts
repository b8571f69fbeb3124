import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { freePort } from "./family.ts";
import { Program, untilOpen, which } from "./processes.ts";

type After = Pick<TestContext, "after">;

export const haproxy = which("haproxy");

/** HAProxy with these frontends and backends; `ports` are those that it opens. */
export async function startHaproxy(t: After, sections: string, ports: readonly number[]): Promise<void> {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(
    `${folder}/haproxy.cfg`,
    `defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
  option http-no-delay
${sections}`,
  );
  const program = new Program(haproxy ?? "", ["-f", `${folder}/haproxy.cfg`, "-db"]);
  t.after(() => program.stop("SIGKILL"));
  for (const port of ports) await untilOpen(port, program);
}

/** HAProxy in front of an edge: HTTP/2 to it, as Cloud Run with --use-http2 does. `bind` is what clients are asked for, TLS for instance. */
export async function startHttp2Front(t: After, edgePort: number, bind = ""): Promise<number> {
  const port = await freePort();
  const sections = `frontend front
  bind 127.0.0.1:${port} ${bind}
  default_backend edge
backend edge
  server edge 127.0.0.1:${edgePort} proto h2
`;
  await startHaproxy(t, sections, [port]);
  return port;
}
