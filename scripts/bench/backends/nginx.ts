import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MEBIBYTE, PING_REPLY } from "../calls.ts";
import { freePorts } from "../ports.ts";
import type { Program } from "../programs.ts";

/** Started by root, its worker would become a user who may not read our files. */
const AS_ROOT = process.getuid?.() === 0 ? "user root;" : "";

/** The HTTP worker's GET routes as constants: what nginx answers without reading more than the head. */
export async function prepareNginx(folder: string): Promise<{ program: Program; port: number }> {
  const [port = 0] = await freePorts(1);
  const download = join(folder, "download.bin");
  const file = join(folder, "backend.conf");
  await writeFile(download, Buffer.alloc(MEBIBYTE, "oneport "));
  await writeFile(file, config(port, download));
  return { program: { file: "nginx", args: ["-p", folder, "-c", file, "-e", "stderr"], env: {} }, port };
}

function config(port: number, download: string): string {
  return `
${AS_ROOT}
daemon off;
worker_processes 1;
pid backend.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port};
    location = /ping { default_type application/json; return 200 '${PING_REPLY}'; }
    location = /download { default_type application/octet-stream; alias ${download}; }
  }
}
`;
}
