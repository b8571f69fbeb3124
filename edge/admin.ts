import type { Server } from "node:http";
import { createServer } from "node:http";
import type { Lifecycle } from "./lifecycle.ts";

/** What the admin port shows of one endpoint. */
export interface EndpointView {
  readonly address: string;
  readonly healthy: boolean;
  readonly active: number;
}

export interface AdminDeps {
  readonly lifecycle: Lifecycle;
  /** In Prometheus' text format. */
  readonly metrics: () => string;
  readonly upstreams: () => Readonly<Record<string, readonly EndpointView[]>>;
}

/** The loopback-only port for whoever runs the edge: `/livez`, `/readyz`, `/metrics`, `/upstreams`. Resolves once listening. */
export async function startAdmin(port: number, deps: AdminDeps): Promise<Server> {
  const server = createServer((req, res) => {
    const answer = (status: number, body: object): void => {
      res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body) + "\n");
    };
    if (req.method !== "GET" && req.method !== "HEAD") return answer(405, { error: "method_not_allowed" });
    const { phase, running } = deps.lifecycle;
    switch (req.url) {
      case "/livez":
        return answer(200, { phase });
      case "/readyz":
        return answer(phase === "ready" ? 200 : 503, { phase, running });
      case "/metrics":
        return void res.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(deps.metrics());
      case "/upstreams":
        return answer(200, deps.upstreams());
      default:
        return answer(404, { error: "not_found", paths: ["/livez", "/readyz", "/metrics", "/upstreams"] });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}
