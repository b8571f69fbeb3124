import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { portPerProtocol } from "../ports.ts";

export const haproxy: Contender = {
  name: "haproxy",
  doc: "one thread, http-reuse always",
  peer: { binary: "haproxy", versionArgs: ["-v"] },
  guarded: false,
  sendsToken: false,
  async prepare({ folder, backends, connections }) {
    const ports = await portPerProtocol();
    const file = join(folder, "haproxy.cfg");
    await writeFile(
      file,
      `
global
  nbthread 1
  maxconn ${connections}
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
listen h1
  bind 127.0.0.1:${ports.h1}
  server worker 127.0.0.1:${backends.http}
listen h2c
  bind 127.0.0.1:${ports.h2c} proto h2
  server worker 127.0.0.1:${backends.http}
listen grpc
  bind 127.0.0.1:${ports.grpc} proto h2
  server worker 127.0.0.1:${backends.grpc} proto h2
listen ws
  bind 127.0.0.1:${ports.ws}
  server worker 127.0.0.1:${backends.ws}
listen ws-h2
  bind 127.0.0.1:${ports["ws-h2"]} proto h2
  server worker 127.0.0.1:${backends.ws}
`,
    );
    return { program: { file: "haproxy", args: ["-db", "-f", file], env: {} }, ports, headers: {} };
  },
};
