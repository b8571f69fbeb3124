import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { limited, unreachable } from "../smoke/http.ts";
import type { Answer } from "./answer.ts";
import { ask1, ask2, open1 } from "./answer.ts";
import type { Finding } from "./finding.ts";
import { again, failed, ok, sentence, unknown } from "./finding.ts";
import { refusalOf } from "./refusal.ts";
import type { Site } from "./site.ts";
import { isTls } from "./site.ts";

const EVENTS = 2;
/** Longer than what a proxy may wait for more to send along (HAProxy: 200 ms). */
const EVENT_MS = 400;
/** Just above what Cloud Run takes over HTTP/1.1. */
const LARGE_BYTES = 33 * 1_048_576;
const LARGE_MS = 120_000;

/** A row, and whether the protocol is spoken there at all. */
export interface Spoken {
  readonly finding: Finding;
  readonly spoken: boolean;
}

/** Is HTTP/1.1 served? */
export function overHttp1(site: Site): Promise<Spoken> {
  return judge("HTTP/1.1", ask1(site, { path: "/ping" }), "Check that --server leads to the edge.");
}

/** Is HTTP/2 served, by ALPN or by prior knowledge? */
export function overHttp2(site: Site): Promise<Spoken> {
  const how = isTls(site) ? "HTTP/2 by ALPN" : "HTTP/2 by prior knowledge";
  const change = `Let what stands in front of the edge serve ${how}: without it there is no gRPC.`;
  return judge("HTTP/2", ask2(site, { path: "/ping" }), change);
}

async function judge(check: string, asked: Promise<Answer>, change: string): Promise<Spoken> {
  try {
    const answer = await asked;
    const refusal = refusalOf(answer);
    if (refusal !== undefined) return { finding: failed(check, refusal.saw, refusal.change), spoken: true };
    return { finding: ok(check, `GET /ping: ${answer.status}`), spoken: true };
  } catch (thrown) {
    return { finding: failed(check, sentence(thrown), change), spoken: false };
  }
}

/** Does a second request go over the same connection? */
export async function keptAlive(site: Site): Promise<Finding> {
  const check = "keep-alive";
  const agent = new (isTls(site) ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: 1 });
  try {
    await ask1(site, { path: "/ping" }, agent);
    const second = open1(site, { path: "/ping" }, agent);
    const [reply] = (await limited(site, once(second.end(), "response"))) as [IncomingMessage];
    reply.resume();
    if (second.reusedSocket) return ok(check, "two requests on one connection");
    return failed(
      check,
      "the connection was closed behind the first reply",
      "Switch keep-alive on in what stands in front of the edge: each request costs a new connection.",
    );
  } catch (thrown) {
    return failed(
      check,
      sentence(thrown),
      "Look at the edge's log: the second request on a connection failed.",
    );
  } finally {
    agent.destroy();
  }
}

/** Do server-sent events come one by one? The example HTTP worker sends them. */
export function events(site: Site): Promise<Finding> {
  return again(() => eventsOnce(site));
}

async function eventsOnce(site: Site): Promise<Finding> {
  const check = "server-sent events";
  const request = open1(site, { path: `/events?count=${EVENTS}&interval_ms=${EVENT_MS}` }, false);
  try {
    const [reply] = (await limited(site, once(request.end(), "response"))) as [IncomingMessage];
    if (reply.statusCode !== 200 || !(reply.headers["content-type"] ?? "").startsWith("text/event-stream")) {
      reply.destroy();
      if ((reply.statusCode ?? 0) >= 500)
        return unknown(check, `GET /events: ${reply.statusCode}`, "Change what the rows above say first.");
      return unknown(
        check,
        `GET /events: ${reply.statusCode}`,
        "Try an event stream of your own worker by hand: this one has no /events.",
      );
    }
    const early = await betweenEvents(reply);
    if (early >= EVENT_MS / 4) return ok(check, `${Math.round(early)} ms between the first and the last`);
    return failed(
      check,
      "all came at once",
      "Switch buffering of replies off in what stands in front of the edge (nginx: proxy_buffering off).",
    );
  } catch (thrown) {
    const text = sentence(thrown instanceof Error ? unreachable(thrown) : thrown);
    return failed(check, text, "Look at the edge's log: the stream was cut.");
  } finally {
    request.destroy();
  }
}

/** Milliseconds from the first event to the last; 0 when they came together. */
async function betweenEvents(reply: IncomingMessage): Promise<number> {
  let text = "";
  let first: number | undefined;
  let last = 0;
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    text += chunk.toString();
    first ??= performance.now();
    if (last === 0 && (text.match(/^data:/gm)?.length ?? 0) >= EVENTS) last = performance.now();
  }
  return last - (first ?? last);
}

/** Does a request above Cloud Run's limit for HTTP/1.1 get through? */
export async function large(site: Site): Promise<Finding> {
  const check = "large request";
  const body = Buffer.alloc(LARGE_BYTES);
  try {
    const patient = { ...site, timeoutMs: Math.max(site.timeoutMs, LARGE_MS) };
    const answer = await ask1(patient, { path: "/upload", method: "POST", body });
    const refusal = refusalOf(answer);
    if (refusal !== undefined) return failed(check, refusal.saw, refusal.change);
    return ok(check, `33 MiB: ${answer.status}`);
  } catch (thrown) {
    const change =
      "Raise the limit on the size of requests in what stands in front of the edge (Cloud Run: --use-http2).";
    return failed(check, `33 MiB: ${sentence(thrown)}`, change);
  }
}
