import type { IncomingMessage, Server } from "node:http";
import { createServer } from "node:http";
import type { Protocol } from "../settings/config.ts";
import { UPSTREAMS, readUpstreams } from "../settings/config.ts";
import type { Phase } from "../lifecycle.ts";
import { SettingError } from "../settings/parse.ts";
import type { Swap } from "../upstream/swap.ts";
import { UnreachableError } from "../upstream/swap.ts";

/** What the admin port shows of one endpoint. */
export interface EndpointView {
  readonly address: string;
  /** True while it gets new requests. */
  readonly healthy: boolean;
  /** Exchanges that it carries. */
  readonly active: number;
  /** Checks that passed and failed, and ejections, since it was added. */
  readonly checks: { readonly passed: number; readonly failed: number };
  readonly ejections: number;
  /** Why it gets no new requests. */
  readonly why?: string | undefined;
  /** When an ejection ends, by RFC 3339. */
  readonly ejectedUntil?: string | undefined;
}

/** The endpoints of each protocol. */
export type UpstreamsView = Readonly<Record<string, readonly EndpointView[]>>;

export interface AdminDeps {
  readonly phase: () => Phase;
  /** Exchanges under way. */
  readonly running: () => number | Promise<number>;
  readonly upstreams: () => UpstreamsView | Promise<UpstreamsView>;
  readonly swap: Swap;
  /** What is counted and open, in Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** Further pages, by path. */
  readonly pages?: Readonly<Record<string, () => object>>;
}

/** Bytes that a PUT may have. */
const MAX_BODY_BYTES = 65_536;

/** Text is Prometheus' format, all else JSON. */
interface Page {
  readonly status: number;
  readonly body: object | string;
}

/**
 * The loopback-only port for whoever runs the edge: `/livez`, `/readyz`, `/metrics`, `/upstreams`, and PUT of
 * `/upstreams/{http,grpc,ws}`. Resolves once listening; rejects when the port cannot be had.
 */
export async function startAdmin(port: number, deps: AdminDeps): Promise<Server> {
  const pages = pagesOf(deps);
  const server = createServer((req, res) => {
    const answer = ({ status, body }: Page): void => {
      const isText = typeof body === "string";
      res.writeHead(status, {
        "content-type": isText ? "text/plain; version=0.0.4; charset=utf-8" : "application/json",
      });
      res.end(isText ? body : `${JSON.stringify(body)}\n`);
    };
    pageFor(req, pages, deps).then(answer, () => answer({ status: 500, body: { error: "internal" } }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

/** What tells a stranger nothing, and probes ask for under any name. */
const SAID_TO_ANYBODY: ReadonlySet<string> = new Set(["/livez", "/readyz"]);

/** In place of a target that is none. */
const NOWHERE = { pathname: "", searchParams: new URLSearchParams() };

/** Null for what is no target. A path may begin with two slashes, which a URL by itself would take for a host. */
function targetOf(target: string): URL | null {
  return URL.parse(target.startsWith("/") ? `http://localhost${target}` : target);
}

async function pageFor(
  req: IncomingMessage,
  pages: ReadonlyMap<string, () => Promise<Page>>,
  deps: AdminDeps,
): Promise<Page> {
  const { pathname, searchParams } = targetOf(req.url ?? "") ?? NOWHERE;
  if (!SAID_TO_ANYBODY.has(pathname) && !isLocal(req.headers.host))
    return { status: 403, body: { error: "forbidden", message: "the Host must be localhost or 127.0.0.1" } };
  const protocol = /^\/upstreams\/([a-z]+)$/.exec(pathname)?.[1];
  if (protocol !== undefined && Object.hasOwn(UPSTREAMS, protocol)) {
    if (req.method === "PUT") return swap(req, protocol as Protocol, searchParams, deps);
    if (req.method === "GET" || req.method === "HEAD")
      return { status: 200, body: (await deps.upstreams())[protocol] ?? [] };
  }
  if (req.method !== "GET" && req.method !== "HEAD")
    return { status: 405, body: { error: "method_not_allowed" } };
  return pages.get(pathname)?.() ?? { status: 404, body: { error: "not_found", paths: [...pages.keys()] } };
}

/**
 * Exchanges one protocol's upstreams. The body is a list as in the setting, with commas, or a JSON array of strings; `?check=off`
 * takes upstreams that are not there yet.
 */
async function swap(
  req: IncomingMessage,
  protocol: Protocol,
  query: URLSearchParams,
  deps: AdminDeps,
): Promise<Page> {
  const text = await bodyOf(req);
  if (text === undefined) return { status: 413, body: { error: "too_large", bytes: MAX_BODY_BYTES } };
  const list = listOf(text);
  if (list === undefined)
    return bad(
      "the body must be a list such as http://127.0.0.1:9001,http://127.0.0.1:9002, or a JSON array of strings",
    );
  const check = query.get("check") ?? "on";
  if (check !== "on" && check !== "off") return bad("check must be on or off");
  try {
    const upstreams = readUpstreams(protocol, list);
    return {
      status: 200,
      body: (await deps.swap({ [protocol]: upstreams }, check === "on"))[protocol] ?? {},
    };
  } catch (thrown) {
    if (thrown instanceof SettingError) return bad(`${protocol} upstreams: ${thrown.message}`);
    if (!(thrown instanceof UnreachableError)) throw thrown;
    return { status: 409, body: { error: "unreachable", message: thrown.message } };
  }
}

function bad(message: string): Page {
  return { status: 400, body: { error: "bad_request", message } };
}

/** A page in a browser can make its own name point at 127.0.0.1, but it cannot choose another Host (DNS rebinding). */
function isLocal(host: string | undefined): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host ?? "");
}

/** The whole body; undefined when it is too large. */
async function bodyOf(req: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Comma-separated, whatever was sent; undefined for JSON that is no array of strings. */
function listOf(text: string): string | undefined {
  if (!text.trimStart().startsWith("[")) return text.trim();
  try {
    const list: unknown = JSON.parse(text);
    const isList = Array.isArray(list) && list.every((item) => typeof item === "string");
    return isList ? list.join(",") : undefined;
  } catch {
    return undefined;
  }
}

function pagesOf(deps: AdminDeps): ReadonlyMap<string, () => Promise<Page>> {
  const { phase, running, upstreams, metrics, pages = {} } = deps;
  return new Map<string, () => Promise<Page>>([
    ["/livez", async () => ({ status: 200, body: { phase: phase() } })],
    [
      "/readyz",
      async () => ({
        status: phase() === "ready" ? 200 : 503,
        body: { phase: phase(), running: await running() },
      }),
    ],
    ["/metrics", async () => ({ status: 200, body: await metrics() })],
    ["/upstreams", async () => ({ status: 200, body: await upstreams() })],
    ...Object.entries(pages).map(
      ([path, body]) => [path, async () => ({ status: 200, body: body() })] as const,
    ),
  ]);
}
