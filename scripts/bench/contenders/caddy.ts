import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { portPerProtocol } from "../ports.ts";

export const caddy: Contender = {
  name: "caddy",
  doc: "reverse_proxy, GOMAXPROCS=1",
  peer: { binary: "caddy", versionArgs: ["version"] },
  guarded: false,
  sendsToken: false,
  async prepare({ folder, backends }) {
    // It takes no WebSocket over HTTP/2 before 2.10.
    const { "ws-h2": _, ...ports } = await portPerProtocol();
    const file = join(folder, "Caddyfile");
    const sites = [
      site(ports.h1, `http://127.0.0.1:${backends.http}`),
      site(ports.h2c, `http://127.0.0.1:${backends.http}`),
      site(ports.grpc, `h2c://127.0.0.1:${backends.grpc}`),
      site(ports.ws, `http://127.0.0.1:${backends.ws}`),
    ];
    await writeFile(file, OPTIONS + sites.join(""));
    return {
      program: {
        file: "caddy",
        args: ["run", "--adapter", "caddyfile", "--config", file],
        // It keeps files in its home folder.
        env: { GOMAXPROCS: "1", HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
      },
      ports,
      headers: {},
    };
  },
};

const OPTIONS = `{
  admin off
  auto_https off
  log {
    output stderr
    level ERROR
  }
  servers {
    protocols h1 h2 h2c
  }
}
`;

/** By default 32 idle connections are kept for a worker; the rows have up to 100 under way. */
function site(port: number, upstream: string): string {
  return `http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy ${upstream} {
    transport http {
      keepalive_idle_conns_per_host 256
    }
  }
}
`;
}
