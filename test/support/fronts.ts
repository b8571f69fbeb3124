import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { Program, which } from "./processes.ts";

type After = Pick<TestContext, "after">;

const haproxy = which("haproxy");
const nginx = which("nginx");

/** For tests that need both, or certificates; a machine without one skips them visibly, by name. */
export const NEEDS_FRONTS: { skip: string | false } = {
  skip:
    (haproxy === undefined && "haproxy is not installed") ||
    (nginx === undefined && "nginx is not installed") ||
    (which("openssl") === undefined && "openssl is not installed"),
};

/** HAProxy with these frontends and backends; `ports` are those that it opens. */
export async function startHaproxy(t: After, sections: string, ports: readonly number[]): Promise<void> {
  const file = `${folder(t)}/haproxy.cfg`;
  writeFileSync(
    file,
    `defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  timeout tunnel 20s
  option http-no-delay
${sections}`,
  );
  await opened(t, new Program(haproxy ?? "", ["-f", file, "-db"]), ports);
}

/** nginx with this inside of `http { }`. */
export async function startNginx(t: After, http: string, ports: readonly number[]): Promise<void> {
  const path = folder(t);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${path};`)
    .join(" ");
  writeFileSync(
    `${path}/nginx.conf`,
    `daemon off; master_process off; pid ${path}/pid; error_log stderr;
events {}
http { access_log off; ${temporary}
${http}
}
`,
  );
  await opened(t, new Program(nginx ?? "", ["-c", `${path}/nginx.conf`, "-e", "stderr"]), ports);
}

function folder(t: After): string {
  const path = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Neither says when it listens; a refused connection answers at once, so asking again is not a guess at its speed. */
async function opened(t: After, program: Program, ports: readonly number[]): Promise<void> {
  t.after(() => program.stop("SIGKILL"));
  for (const port of ports) {
    while (!(await isOpen(port))) {
      if (!program.running) throw new Error(`it ended: ${program.err}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const open = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return open;
}
