import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Backends } from "../backends.ts";
import type { Contender } from "../contender.ts";
import { portPerProtocol } from "../ports.ts";

export const nginx: Contender = {
  name: "nginx",
  doc: "one worker process, grpc_pass and proxy_pass with kept connections",
  peer: { binary: "nginx", versionArgs: ["-v"] },
  guarded: false,
  sendsToken: false,
  async prepare({ folder, backends, connections }) {
    // It has no extended CONNECT.
    const { "ws-h2": _, ...ports } = await portPerProtocol();
    const home = join(folder, "nginx");
    await mkdir(home, { recursive: true });
    const file = join(home, "nginx.conf");
    await writeFile(file, config(ports, backends, connections));
    return {
      program: { file: "nginx", args: ["-p", home, "-c", file, "-e", "stderr"], env: {} },
      ports,
      headers: {},
    };
  },
};

type Ports = Record<"grpc" | "h2c" | "h1" | "ws", number>;

/** nginx ends a connection after 1000 requests unless told otherwise, on both sides. */
const UNLIMITED = 1_000_000_000;

/** Each client has a connection on either side, and nginx closes some once hardly any are left. */
function config(ports: Ports, backends: Backends, connections: number): string {
  const upstream = (name: string, port: number): string =>
    `  upstream ${name} { server 127.0.0.1:${port}; keepalive 256; keepalive_requests ${UNLIMITED}; }`;
  return `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections ${3 * connections}; }
http {
  access_log off;
  keepalive_requests ${UNLIMITED};
  client_max_body_size 0;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 128k;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
${upstream("http_worker", backends.http)}
${upstream("grpc_worker", backends.grpc)}
  server { listen 127.0.0.1:${ports.h1}; location / { proxy_pass http://http_worker; } }
  server { listen 127.0.0.1:${ports.h2c} http2; location / { proxy_pass http://http_worker; } }
  server { listen 127.0.0.1:${ports.grpc} http2; location / { grpc_pass grpc://grpc_worker; } }
  server {
    listen 127.0.0.1:${ports.ws};
    location / {
      proxy_pass http://127.0.0.1:${backends.ws};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
    }
  }
}
`;
}
