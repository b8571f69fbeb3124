import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { portPerProtocol } from "../ports.ts";

export const nginx: Contender = {
  name: "nginx",
  doc: "one worker process, grpc_pass and proxy_pass with kept connections",
  peer: { binary: "nginx", versionArgs: ["-v"] },
  guarded: false,
  async prepare({ folder, backends }) {
    const ports = await portPerProtocol();
    const home = join(folder, "nginx");
    await mkdir(home, { recursive: true });
    const file = join(home, "nginx.conf");
    await writeFile(file, config(ports, backends));
    return {
      program: { file: "nginx", args: ["-p", home, "-c", file, "-e", "stderr"], env: {} },
      ports,
      headers: {},
    };
  },
};

type Ports = Awaited<ReturnType<typeof portPerProtocol>>;

/** nginx ends a connection after 1000 requests unless told otherwise, on both sides. */
const UNLIMITED = 1_000_000_000;

function config(ports: Ports, backends: { http: number; grpc: number; ws: number }): string {
  const upstream = (name: string, port: number): string =>
    `  upstream ${name} { server 127.0.0.1:${port}; keepalive 256; keepalive_requests ${UNLIMITED}; }`;
  return `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests ${UNLIMITED};
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
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
