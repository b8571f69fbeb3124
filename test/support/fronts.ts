import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { haproxy } from "./haproxy.ts";
import { Program, untilOpen, which } from "./processes.ts";

type After = Pick<TestContext, "after">;

const nginx = which("nginx");

/** For tests that need both, or certificates; a machine without one skips them visibly, by name. */
export const NEEDS_FRONTS: { skip: string | false } = {
  skip:
    (haproxy === undefined && "haproxy is not installed") ||
    (nginx === undefined && "nginx is not installed") ||
    (which("openssl") === undefined && "openssl is not installed"),
};

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
  const program = new Program(nginx ?? "", ["-c", `${path}/nginx.conf`, "-e", "stderr"]);
  t.after(() => program.stop("SIGKILL"));
  for (const port of ports) await untilOpen(port, program);
}

function folder(t: After): string {
  const path = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}
