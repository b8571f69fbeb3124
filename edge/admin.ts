import type { Server } from "node:http";
import { createServer } from "node:http";
import type { Phase } from "./lifecycle.ts";
import { renderMetrics } from "./metrics.ts";

/** What the admin port shows of one endpoint; `active` counts the exchanges it carries. */
export interface EndpointView {
  readonly address: string;
  readonly healthy: boolean;
  readonly active: number;
}

/** The endpoints of each protocol. */
export type UpstreamsView = Readonly<Record<string, readonly EndpointView[]>>;

/** How often clients exceeded each limit. */
export type CountsView = Readonly<Record<string, number>>;

export interface AdminDeps {
  readonly phase: () => Phase;
  /** Exchanges under way. */
  readonly running: () => number | Promise<number>;
  readonly upstreams: () => UpstreamsView | Promise<UpstreamsView>;
  /** What was counted so far. */
  readonly counts: () => CountsView | Promise<CountsView>;
  /** Further pages, by path. */
  readonly pages?: Readonly<Record<string, () => object>>;
}

/** Text is Prometheus' format, all else JSON. */
interface Page {
  readonly status: number;
  readonly body: object | string;
}

/**
 * The loopback-only port for whoever runs the edge: `/livez`, `/readyz`, `/metrics`, `/upstreams`. Resolves once listening; rejects
 * when the port cannot be had.
 */
export async function startAdmin(port: number, deps: AdminDeps): Promise<Server> {
  const pages = pagesOf(deps);
  const server = createServer((req, res) => {
    const answer = ({ status, body }: Page): void => {
      const isText = typeof body === "string";
      res.writeHead(status, { "content-type": isText ? "text/plain; version=0.0.4" : "application/json" });
      res.end(isText ? body : `${JSON.stringify(body)}\n`);
    };
    const page = pages.get(req.url ?? "");
    if (req.method !== "GET" && req.method !== "HEAD")
      return answer({ status: 405, body: { error: "method_not_allowed" } });
    if (page === undefined)
      return answer({ status: 404, body: { error: "not_found", paths: [...pages.keys()] } });
    page().then(answer, () => answer({ status: 500, body: { error: "internal" } }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

function pagesOf(deps: AdminDeps): ReadonlyMap<string, () => Promise<Page>> {
  const { phase, running, upstreams, counts, pages = {} } = deps;
  return new Map<string, () => Promise<Page>>([
    ["/livez", async () => ({ status: 200, body: { phase: phase() } })],
    [
      "/readyz",
      async () => ({
        status: phase() === "ready" ? 200 : 503,
        body: { phase: phase(), running: await running() },
      }),
    ],
    ["/metrics", async () => ({ status: 200, body: renderMetrics(await counts()) })],
    ["/upstreams", async () => ({ status: 200, body: await upstreams() })],
    ...Object.entries(pages).map(
      ([path, body]) => [path, async () => ({ status: 200, body: body() })] as const,
    ),
  ]);
}
