import type { Caller, HeaderList, Peer, RequestHead } from "./exchange.ts";

/** First value of a field; `name` is lower-case. */
export function find(headers: HeaderList, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}

/** All values of a field, in order. */
export function findAll(headers: HeaderList, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) values.push(headers[i + 1] ?? "");
  return values;
}

/** All fields but these. */
export function withoutFields(headers: HeaderList, ...names: readonly string[]): string[] {
  return keepFields(headers, (name) => !names.includes(name));
}

/** The members of a comma-separated list field (RFC 9110, section 5.6.1), over all its lines. */
export function listMembers(headers: HeaderList, name: string): string[] {
  return findAll(headers, name)
    .flatMap((value) => value.split(","))
    .map((member) => member.trim())
    .filter((member) => member !== "");
}

/** Fields that speak of one connection only (RFC 9110, section 7.6.1; RFC 9113, section 8.2.2). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Fields that say how a message is framed: decided anew for each hop, never copied. */
const FRAMING = new Set(["content-length", "host"]);

/**
 * What a worker gets from the edge or not at all: where a request came from, who sent it, which path it is for. Frameworks and
 * gateways believe these fields without asking who wrote them; `proxy` would be HTTP_PROXY to a CGI program (httpoxy).
 */
const NOT_FROM_CLIENTS = new Set([
  ...HOP_BY_HOP,
  ...FRAMING,
  "forwarded",
  "via",
  "proxy",
  "client-ip",
  "remote-user",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-real-ip",
  "x-original-host",
  "x-original-path",
  "x-original-uri",
  "x-original-url",
  "x-rewrite-url",
  "x-envoy-original-path",
  // Meant for Cloud Run's own door in front of the edge, which has dealt with it.
  "x-serverless-authorization",
]);
const NOT_FROM_CLIENTS_PREFIX = /^x-(?:auth|authenticated|forwarded|goog-authenticated|remote)-/;

/**
 * What a name could be read as: CGI-like frameworks fold whatever is no letter or digit into `_`, so that X_Auth_Email and
 * X.Auth.Email are X-Auth-Email to them.
 */
function folded(name: string): string {
  return name.replace(/[^a-z0-9-]/g, "-");
}

/** False for what only the edge may say to a worker. */
function mayReachWorker(name: string): boolean {
  return VERDICTS.get(name) ?? judge(name);
}

/** Clients use few names, again and again; one that invents names, or long ones, can fill no more than this. */
const MAX_VERDICTS = 500;
const MAX_NAME = 64;
const VERDICTS = new Map<string, boolean>();

function judge(name: string): boolean {
  const plain = folded(name);
  const verdict = !NOT_FROM_CLIENTS.has(plain) && !NOT_FROM_CLIENTS_PREFIX.test(plain);
  if (name.length > MAX_NAME) return verdict;
  if (VERDICTS.size >= MAX_VERDICTS) VERDICTS.clear();
  // A copy: a slice would keep the whole head that it was cut from.
  VERDICTS.set(Buffer.from(name, "latin1").toString("latin1"), verdict);
  return verdict;
}

/**
 * Fields of a request that must not come behind its body (RFC 9110, section 6.5.1): some servers add trailers to the fields they
 * have, after those have been looked at.
 */
const NOT_IN_TRAILERS = new Set([
  "authorization",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-location",
  "content-range",
  "content-type",
  "cookie",
  "expect",
  "max-forwards",
  "origin",
  "pragma",
  "range",
  "x-goog-iap-jwt-assertion",
]);

const USUALLY_HAS_BODY = new Set(["POST", "PUT", "PATCH"]);

const NOTHING: ReadonlySet<string> = new Set();

/** What Connection declares to be of this connection only. HTTP/2 has no such field, so the common case costs nothing. */
function namedInConnection(headers: HeaderList): ReadonlySet<string> {
  if (!namesFields(headers)) return NOTHING;
  return new Set(listMembers(headers, "connection").map((name) => name.toLowerCase()));
}

/** `keep-alive` and `close` are what nearly every Connection says; the one is dropped anyway, the other no name of a field. */
function namesFields(headers: HeaderList): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "connection") continue;
    const value = headers[i + 1];
    if (value !== "keep-alive" && value !== "close") return true;
  }
  return false;
}

export interface WorkerHeaderOptions {
  readonly caller: Caller | undefined;
  /** Proxies in front of the edge whose forwarding fields count. */
  readonly trustedHops: number;
}

/**
 * The fields a worker gets: the client's own without what is hop-by-hop or could deceive, then where the request came
 * from and who sent it.
 */
export function toWorker(head: RequestHead, peer: Peer, options: WorkerHeaderOptions): string[] {
  const named = namedInConnection(head.headers);
  const out = keepFields(head.headers, (name) => mayReachWorker(name) && !named.has(name));
  const from = origin(head, peer, options.trustedHops);
  out.push("x-forwarded-for", from.address, "x-forwarded-proto", from.proto);
  if (head.authority !== "") out.push("x-forwarded-host", head.authority);
  out.push("forwarded", forwarded(from.address, from.proto, head.authority));
  // RFC 9110, section 7.6.3: a gateway MUST send Via towards the origin server.
  out.push(
    "via",
    [...findAll(head.headers, "via"), `${head.version === "2" ? "2.0" : head.version} oneport`].join(", "),
  );
  if (options.caller !== undefined) {
    out.push("x-auth-email", options.caller.email, "x-auth-subject", options.caller.subject);
  }
  return out;
}

/** The fields a client gets back: all of the worker's but the hop-by-hop ones. */
export function toClient(headers: HeaderList): string[] {
  const named = namedInConnection(headers);
  return keepFields(headers, (name) => !HOP_BY_HOP.has(name) && !named.has(name));
}

/** A request's trailers without what must not come in by the back door. */
export function trailersToWorker(headers: HeaderList): string[] {
  return keepFields(headers, (name) => mayTrail(name) && mayReachWorker(name) && !changesRequest(name));
}

function changesRequest(name: string): boolean {
  const plain = folded(name);
  return NOT_IN_TRAILERS.has(plain) || plain.startsWith("if-");
}

/** An interim reply's fields: it has no content, and so no length (RFC 9110, section 8.6). */
export function interimToClient(headers: HeaderList): string[] {
  return withoutFields(toClient(headers), "content-length");
}

/** A reply's trailers without what a trailer must not carry. */
export function trailersToClient(headers: HeaderList): string[] {
  return keepFields(headers, mayTrail);
}

function mayTrail(name: string): boolean {
  return !HOP_BY_HOP.has(name) && !FRAMING.has(name) && !name.startsWith(":") && name !== "trailer";
}

function keepFields(headers: HeaderList, keep: (name: string) => boolean): string[] {
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (keep(name)) out.push(name, headers[i + 1] ?? "");
  }
  return out;
}

/** True for methods whose content every server reads; for others RFC 9110 warns that it may be taken for another request (section 9.3.1). */
export function usuallyHasBody(method: string): boolean {
  return USUALLY_HAS_BODY.has(method);
}

/**
 * How an HTTP/1.1 request to a worker is framed. Always explicit: Node leaves a DELETE body unframed by default, and
 * unframed body bytes are the next request on that connection. A length is written anew: `010` is eight to some.
 */
export function framing(method: string, hasBody: boolean, contentLength: string | undefined): string[] {
  // RFC 9110, section 8.6: a method that usually has content says so when it has none.
  if (!hasBody)
    return contentLength !== undefined || USUALLY_HAS_BODY.has(method) ? ["content-length", "0"] : [];
  return contentLength === undefined
    ? ["transfer-encoding", "chunked"]
    : ["content-length", String(Number(contentLength))];
}

/** RFC 9110, section 15: what is outside 100 to 599 is no status, and 1xx ends no exchange. */
export function isFinalStatus(status: number): boolean {
  return status >= 200 && status <= 599;
}

/** The client's address: of the connection, or as the trusted proxies in front of us reported it. */
export function clientAddress(head: RequestHead, peer: Peer, trustedHops: number): string {
  return origin(head, peer, trustedHops).address;
}

/** The client's address and scheme: of the connection, or as the nearest trusted proxies in front of us reported them. */
function origin(head: RequestHead, peer: Peer, trustedHops: number): { address: string; proto: string } {
  if (trustedHops === 0) return { address: peer.address, proto: "http" };
  const chain = listMembers(head.headers, "x-forwarded-for");
  // Each proxy appends the address it saw, so the trusted entries are the last ones; what is left of them anyone can write.
  const reported = chain[Math.max(0, chain.length - trustedHops)];
  const proto = listMembers(head.headers, "x-forwarded-proto").at(-1)?.toLowerCase();
  return {
    address: reported !== undefined && /^[0-9a-fA-F.:]{2,45}$/.test(reported) ? reported : peer.address,
    proto: proto === "https" || proto === "http" ? proto : "http",
  };
}

/** One `Forwarded` element (RFC 7239). Values are quoted, so that a client's Host cannot add parameters of its own. */
function forwarded(address: string, proto: string, authority: string): string {
  const node = address.includes(":") ? `"[${address}]"` : address;
  const host = authority === "" ? "" : `;host="${authority.replace(/["\\]/g, "\\$&")}"`;
  return `for=${node};proto=${proto}${host}`;
}
