import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import { request as requestHttp } from "node:http";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { request as requestHttps } from "node:https";
import { limited, unreachable, withSession } from "../smoke/http.ts";
import type { Fields, Site } from "./site.ts";
import { credentials, isTls } from "./site.ts";

/** More of a reply's body than this is not looked at. */
const MAX_BODY = 65_536;

/** A reply, whatever carried it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface Ask {
  readonly path: string;
  readonly as?: "caller" | "nobody";
  readonly method?: string;
  readonly body?: Buffer;
}

/** A request over HTTP/1.1. Rejects with a sentence. */
export async function ask1(site: Site, ask: Ask, agent: Agent | false = false): Promise<Answer> {
  const request = open1(site, ask, agent);
  const answer = new Promise<Answer>((resolve, reject) => {
    request.on("response", (reply) => void read1(reply).then(resolve, reject));
    request.on("error", (error) => reject(unreachable(error)));
  });
  try {
    request.end(ask.body);
    return await limited(site, answer);
  } catch (thrown) {
    request.destroy();
    throw thrown;
  }
}

/** The same, its reply not yet read. */
export function open1(
  site: Site,
  { path, as, method = "GET", body }: Ask,
  agent: Agent | false,
): ClientRequest {
  const length: Fields = body === undefined ? {} : { "content-length": String(body.length) };
  const headers = { ...credentials(site, as), ...length };
  return (isTls(site) ? requestHttps : requestHttp)(new URL(path, site.url), { headers, agent, method });
}

export async function read1(reply: IncomingMessage): Promise<Answer> {
  return { status: reply.statusCode ?? 0, headers: flat(reply.headers), body: await readBody(reply) };
}

/** A request over HTTP/2, on a connection of its own. Rejects with a sentence. */
export function ask2(site: Site, { path, as }: Ask): Promise<Answer> {
  return withSession(site, (session) =>
    read2(session.request({ ":path": path, ":authority": site.url.host, ...credentials(site, as) })),
  );
}

/** What a stream brings. Rejects when it is reset. */
async function read2(stream: ClientHttp2Stream): Promise<Answer> {
  let head: ReturnType<typeof headOf> = { status: 0, headers: {} };
  stream.once("response", (headers) => (head = headOf(headers)));
  const body = await readBody(stream);
  if (head.status === 0) throw new Error("the stream ended without a reply");
  return { ...head, body };
}

/** A reply's head, as node:http2 gives it. */
export function headOf(headers: IncomingHttpHeaders): Pick<Answer, "status" | "headers"> {
  return { status: Number(headers[":status"] ?? 0), headers: flat(headers) };
}

/** Resolves with the peer's first SETTINGS. */
export function remoteSettings(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => session.once("remoteSettings", () => resolve()));
}

/** As much of a body as is looked at. Rejects when it is cut. */
export async function readBody(stream: AsyncIterable<Buffer>): Promise<string> {
  let body = "";
  for await (const chunk of stream) if (body.length < MAX_BODY) body += chunk.toString();
  return body;
}

function flat(headers: IncomingHttpHeaders): Answer["headers"] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
}

/** The members of a JSON object, or none. */
export function members(body: string): Readonly<Record<string, unknown>> {
  return object(body) ?? {};
}

/** A JSON object; undefined for anything else. */
export function object(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
