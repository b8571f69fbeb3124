import { request as requestHttp } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import { connect } from "node:http2";
import { request as requestHttps } from "node:https";
import type { Outcome, Target } from "./checks.ts";

/** Bodies here are a few bytes; more than this is not what was asked for. */
const MAX_BODY = 65_536;

export function authorization({ token }: Target): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** Rejects when `work` takes longer than the target's limit. */
export async function limited<T>({ timeoutMs }: Target, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export function http1Get(target: Target): Promise<Outcome> {
  const { url } = target;
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const answer = new Promise<Outcome>((resolve, reject) => {
    const req = request(new URL("/ping", url), { headers: authorization(target), agent: false }, (reply) => {
      let body = "";
      reply.setEncoding("utf8");
      reply.on("data", (text: string) => (body = (body + text).slice(0, MAX_BODY)));
      reply.on("end", () => {
        const status = reply.statusCode ?? 0;
        if (status !== 200) return reject(refusal(status, body));
        if (!isPong(body)) return reject(new Error("200, but the reply is not pong"));
        resolve({
          carried: `HTTP/${reply.httpVersion}${url.protocol === "https:" ? " over TLS" : ""}`,
          status: "200",
        });
      });
    });
    req.on("error", (error) => reject(unreachable(error)));
    req.end();
  });
  return limited(target, answer);
}

/** One HTTP/2 connection for one check: prior knowledge (h2c), or ALPN over TLS. */
export async function withSession<T>(
  target: Target,
  use: (session: ClientHttp2Session) => Promise<T>,
): Promise<T> {
  const session = connect(target.url.origin);
  const failed = new Promise<never>((_resolve, reject) =>
    session.on("error", (error) => reject(unreachable(error))),
  );
  try {
    return await limited(target, Promise.race([use(session), failed]));
  } finally {
    session.destroy();
  }
}

export function carriedBy(session: ClientHttp2Session): string {
  return session.encrypted === true ? "HTTP/2 over TLS" : "h2c";
}

export function http2Get(target: Target): Promise<Outcome> {
  return withSession(target, async (session) => {
    const stream = session.request({ ":path": "/ping", ...authorization(target) });
    let status = 0;
    let body = "";
    stream.setEncoding("utf8");
    stream.on("response", (headers) => (status = Number(headers[":status"])));
    for await (const text of stream as AsyncIterable<string>) body = (body + text).slice(0, MAX_BODY);
    if (status !== 200) throw refusal(status, body);
    if (!isPong(body)) throw new Error("200, but the reply is not pong");
    return { carried: carriedBy(session), status: "200" };
  });
}

function isPong(body: string): boolean {
  try {
    return (JSON.parse(body) as { message?: unknown }).message === "pong";
  } catch {
    return false;
  }
}

/** A refusal with the edge's own sentence, when it is one of its refusals. */
export function refusal(status: number, body: string): Error {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === "string") return new Error(`${status} ${message}`);
  } catch {
    // Not one of ours: the status says enough.
  }
  return new Error(String(status));
}

/** Node joins several failed addresses into an error without a message; the first of them says it. */
export function unreachable(error: Error & { code?: string; errors?: Error[] }): Error {
  const first = error.errors?.[0] ?? error;
  const code = "code" in first ? String(first.code) : "";
  return new Error(
    code === "ECONNREFUSED" ? "nothing listens there (connection refused)" : first.message || code,
    { cause: error },
  );
}
