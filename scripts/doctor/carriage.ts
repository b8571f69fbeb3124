import { WebSocket } from "ws";
import type { Arrival } from "../../edge/arrival.ts";
import { ARRIVAL_PATH } from "../../edge/arrival.ts";
import { ask1, ask2, members } from "./answer.ts";
import type { Finding } from "./finding.ts";
import { failed, ok, unknown } from "./finding.ts";
import { PASS_UPGRADE, openSocket } from "./websocket.ts";
import type { Site } from "./site.ts";

/** What stands in front does to requests, told by how they arrive. */
export type Mode = "direct" | "default" | "http2" | "unknown";

/** How requests come to the edge; undefined where it could not be learned. */
export interface Carriage {
  readonly mode: Mode;
  readonly http1: string | undefined;
  readonly http2: string | undefined;
  readonly webSocket: Pick<Arrival, "as" | "protocol"> | undefined;
  readonly arrival: Partial<Arrival>;
}

const TELL =
  "Deploy with DOCTOR=on (npm run deploy -- … --env DOCTOR=on), so that the edge says how requests arrive.";

const NOTHING: Partial<Arrival> = {};

/** Asks the edge how requests came to it; `http2` is false where the server offers no HTTP/2. */
export async function learnCarriage(site: Site, http2: boolean): Promise<Carriage> {
  const over1 = await arrivalOf(ask1(site, { path: ARRIVAL_PATH }));
  const over2 = http2 ? await arrivalOf(ask2(site, { path: ARRIVAL_PATH })) : NOTHING;
  const webSocket = await arrivalOf(handshake(site));
  const first = over1.protocol ?? (await echoed(ask1(site, { path: "/echo" })));
  const second = over2.protocol ?? (http2 ? await echoed(ask2(site, { path: "/echo" })) : undefined);
  return {
    mode: modeOf(first, second),
    http1: first,
    http2: second,
    webSocket: isTold(webSocket) ? webSocket : undefined,
    arrival: over1,
  };
}

/** Without HTTP/2 on offer, HTTP/1.1 alone cannot tell a front end in its default mode from none. */
export function modeOf(http1: string | undefined, http2: string | undefined): Mode {
  if (http1 === "HTTP/1.1" && http2 === "HTTP/1.1") return "default";
  if (http1 === "HTTP/1.1" && http2 === "HTTP/2") return "direct";
  return http1 === "HTTP/2" ? "http2" : "unknown";
}

const MODES: Readonly<Record<Exclude<Mode, "unknown">, string>> = {
  direct: "as it was sent: nothing in front changes the version",
  default: "HTTP/1.1, whatever was sent (Cloud Run's default mode)",
  http2: "HTTP/2, whatever was sent (--use-http2)",
};

/** What was learned, a row each. */
export function carriageFindings({ mode, http1, http2, webSocket, arrival }: Carriage): Finding[] {
  const { forwardedFor, trustedHops, trace } = arrival;
  const findings = [mode === "unknown" ? noMode(http1, http2) : ok("mode", MODES[mode])];
  findings.push(handshakeFinding(webSocket, arrival));
  if (forwardedFor === undefined || trustedHops === undefined || trace === undefined) return findings;
  findings.push(hops(forwardedFor, trustedHops));
  findings.push(
    ok("trace", trace.length === 0 ? "no field for tracing arrives" : `${trace.join(" and ")} arrive`),
  );
  return findings;
}

function handshakeFinding(webSocket: Carriage["webSocket"], arrival: Partial<Arrival>): Finding {
  const check = "WebSocket arrives";
  if (webSocket === undefined && isTold(arrival))
    return unknown(
      check,
      "no handshake gets to the edge",
      "Change what the rows about WebSockets below say.",
    );
  if (webSocket === undefined) return unknown(check, "the edge does not say", TELL);
  const { as, protocol } = webSocket;
  if (as === "request") return failed(check, `as a plain request, ${protocol}`, PASS_UPGRADE);
  return ok(check, `as ${as}, ${protocol}`);
}

function noMode(http1: string | undefined, http2: string | undefined): Finding {
  if (http1 === undefined) return unknown("mode", "the edge does not say how requests arrive", TELL);
  if (http1 === "HTTP/1.0")
    return failed(
      "mode",
      "requests arrive as HTTP/1.0",
      "Let what stands in front of the edge speak HTTP/1.1 to it (nginx: proxy_http_version 1.1).",
    );
  const saw = `HTTP/1.1 arrives as ${http1}, HTTP/2 ${http2 === undefined ? "could not be tried" : `as ${http2}`}`;
  return unknown("mode", saw, "Let what ends TLS offer HTTP/2, and ask again.");
}

function hops(entries: number, trusted: number): Finding {
  const check = "client address";
  const saw = `X-Forwarded-For has ${entries} ${entries === 1 ? "entry" : "entries"}, TRUSTED_HOPS is ${trusted}`;
  if (entries === trusted) return ok(check, saw);
  const because =
    entries > trusted
      ? "as it is, workers see a proxy's address"
      : "as it is, a client can choose its own address";
  return failed(check, saw, `Set TRUSTED_HOPS=${entries}: ${because}.`);
}

async function arrivalOf(asked: Promise<{ readonly body: string }>): Promise<Partial<Arrival>> {
  const told: Partial<Arrival> = members((await asked.catch(() => ({ body: "" }))).body);
  return isTold(told) ? told : NOTHING;
}

function isTold(told: Partial<Arrival>): told is Pick<Arrival, "as" | "protocol"> {
  return typeof told.protocol === "string" && typeof told.as === "string";
}

/** The example HTTP worker shows the Via that the edge wrote: it begins with the version that came (RFC 9110, section 7.6.3). */
async function echoed(asked: Promise<{ readonly body: string }>): Promise<string | undefined> {
  const { rawHeaders } = members((await asked.catch(() => ({ body: "" }))).body);
  if (!Array.isArray(rawHeaders)) return undefined;
  const via = rawHeaders.find((value: unknown): value is string => /\b[\d.]+ oneport$/.test(String(value)));
  const version = /([\d.]+) oneport$/.exec(via ?? "")?.[1];
  return version === undefined ? undefined : `HTTP/${version === "2.0" ? "2" : version}`;
}

/** A handshake that the edge refuses with how it came; a worker of one's own may accept it. */
async function handshake(site: Site): Promise<{ body: string }> {
  const opened = await openSocket({ ...site, wsPath: ARRIVAL_PATH });
  if (!(opened instanceof WebSocket)) return opened;
  opened.terminate();
  return { body: "" };
}
