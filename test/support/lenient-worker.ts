import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { rawWorker } from "./workers.ts";

/** In what a worker is careless. All of them take what no strict reader would: see `readRequest`. */
export interface Leniency {
  /** Which counts when a request has both. */
  readonly wins: "content-length" | "transfer-encoding";
  /** Which counts of several content-lengths. */
  readonly length: "first" | "last";
  /** What a line may end in, besides CRLF and LF. */
  readonly bareCr?: boolean;
  /** Reads `010` as eight, as C's strtol does with base 0. */
  readonly octal?: boolean;
  /** Names are folded as CGI does: whatever is no letter or digit is an underscore. */
  readonly folds?: boolean;
  /** Reads no body behind these methods. */
  readonly bodiless?: readonly string[];
  /** Answers 417 to an expectation, and takes what follows for the next request. */
  readonly refusesExpect?: boolean;
}

/** A request as such a worker reads it. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** Names in the worker's own letters; trailers are among them. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** A worker that reads anything as a request if it can. */
export interface LenientWorker {
  readonly url: string;
  /** What it took for requests, in order. */
  readonly requests: SeenRequest[];
  /** What lies unread on connections that it goes on reading. */
  leftovers(): string[];
}

/** Answers each request with 200, as soon as it has it; closes a connection when told to. */
export async function lenientWorker(
  t: Pick<TestContext, "after">,
  leniency: Leniency,
): Promise<LenientWorker> {
  const requests: SeenRequest[] = [];
  const taken = new Map<Socket, number>();
  const unread = new Map<Socket, string>();
  const url = await rawWorker(t as TestContext, (socket, text) => {
    for (;;) {
      const at = taken.get(socket) ?? 0;
      if (at === Infinity) return;
      const read = readRequest(text.slice(at), leniency);
      unread.set(socket, read === undefined ? text.slice(at) : "");
      if (read === undefined) return;
      taken.set(socket, at + read.length);
      requests.push(read.request);
      socket.write(read.refused ? "HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n" : reply(read.request));
      if (!values(read.request, "connection").some((value) => /close/i.test(value))) continue;
      taken.set(socket, Infinity);
      socket.end();
    }
  });
  return { url, requests, leftovers: () => [...unread.values()].filter((text) => text !== "") };
}

function reply({ method }: SeenRequest): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n${method === "HEAD" ? "" : "ok"}`;
}

/** All values of a field; `name` is lower-case, with `_` for `-` where the worker folds names. */
export function values({ fields }: SeenRequest, name: string): string[] {
  return fields.flatMap(([each, value]) => (each.replaceAll("_", "-") === name ? [value] : []));
}

interface Read {
  readonly request: SeenRequest;
  readonly length: number;
  readonly refused: boolean;
}

/** The request that `text` begins with; undefined while it is not complete. */
function readRequest(text: string, leniency: Leniency): Read | undefined {
  const lineEnd = leniency.bareCr === true ? "(?:\r\n|\n|\r(?!\n))" : "\r?\n";
  const empty = new RegExp(`^(?:${lineEnd})*`).exec(text)?.[0].length ?? 0;
  const head = new RegExp(`${lineEnd}${lineEnd}`).exec(text.slice(empty));
  // HTTP/0.9: a line of two words is a request.
  const old = new RegExp(`^([A-Z]+) (\\S+)${lineEnd}`).exec(text.slice(empty));
  if (old !== null) {
    const request = { method: old[1] ?? "", target: old[2] ?? "", fields: [], body: "" };
    return { request, length: empty + old[0].length, refused: false };
  }
  if (head === null) return undefined;
  const bodyAt = empty + head.index + head[0].length;
  const [line = "", ...lines] = text.slice(empty, empty + head.index).split(new RegExp(lineEnd));
  const [method = "", target = ""] = line.trim().split(/\s+/);
  const fields = readFields(lines, leniency);
  const bare = { method: method.toUpperCase(), target, fields, body: "" };
  const refused = leniency.refusesExpect === true && values(bare, "expect").length > 0;
  if (refused || leniency.bodiless?.includes(bare.method) === true)
    return { request: bare, length: bodyAt, refused };
  const body = readBody(text, bodyAt, bare, leniency, new RegExp(lineEnd));
  if (body === undefined) return undefined;
  const request = { ...bare, body: body.text, fields: [...fields, ...readFields(body.trailers, leniency)] };
  return { request, length: body.end, refused: false };
}

/** Folded lines are joined, white space goes, lines without a colon are passed over. */
function readFields(lines: readonly string[], { folds }: Leniency): (readonly [string, string])[] {
  const unfolded: string[] = [];
  for (const line of lines) {
    if (/^[ \t]/.test(line) && unfolded.length > 0) unfolded.push(`${unfolded.pop()} ${line.trim()}`);
    else unfolded.push(line);
  }
  return unfolded.flatMap((line) => {
    const colon = line.indexOf(":");
    if (colon === -1) return [];
    const name = line.slice(0, colon).trim().toLowerCase();
    return [[folds === true ? name.replace(/[^a-z0-9]/g, "_") : name, line.slice(colon + 1).trim()] as const];
  });
}

interface Body {
  readonly text: string;
  readonly end: number;
  readonly trailers: readonly string[];
}

function readBody(
  text: string,
  at: number,
  request: SeenRequest,
  leniency: Leniency,
  lineEnd: RegExp,
): Body | undefined {
  const lengths = values(request, "content-length").flatMap((value) => value.split(","));
  const chunked = values(request, "transfer-encoding").some((value) => /chunked/i.test(value));
  if (chunked && (leniency.wins === "transfer-encoding" || lengths.length === 0))
    return readChunks(text, at, lineEnd);
  const length = (leniency.length === "first" ? lengths[0] : lengths.at(-1))?.trim() ?? "0";
  const bytes = parseInt(length, leniency.octal === true && length.startsWith("0") ? 8 : 10) || 0;
  const end = at + Math.max(0, bytes);
  return end > text.length ? undefined : { text: text.slice(at, end), end, trailers: [] };
}

/** Sizes are what can be made of them, in 32 bits; a chunk need not end in a line end. */
function readChunks(text: string, from: number, lineEnd: RegExp): Body | undefined {
  let at = from;
  let body = "";
  for (;;) {
    const rest = text.slice(at);
    const end = lineEnd.exec(rest);
    if (end === null) return undefined;
    const size = (parseInt(rest.slice(0, end.index), 16) || 0) >>> 0;
    at += end.index + end[0].length;
    if (size === 0) return readTrailers(text, at, body, lineEnd);
    if (at + size > text.length) return undefined;
    body += text.slice(at, at + size);
    at += size;
    const after = lineEnd.exec(text.slice(at));
    if (after?.index === 0) at += after[0].length;
  }
}

function readTrailers(text: string, from: number, body: string, lineEnd: RegExp): Body | undefined {
  const trailers: string[] = [];
  for (let at = from; ;) {
    const end = lineEnd.exec(text.slice(at));
    if (end === null) return undefined;
    const line = text.slice(at, at + end.index);
    at += end.index + end[0].length;
    if (line === "") return { text: body, end: at, trailers };
    trailers.push(line);
  }
}

/** Every way to be careless that is worth its own worker. */
export const PERSONALITIES: readonly (readonly [why: string, leniency: Leniency])[] = [
  ["content-length wins, the first one", { wins: "content-length", length: "first" }],
  ["content-length wins, the last one", { wins: "content-length", length: "last", folds: true }],
  ["transfer-encoding wins, names are folded", { wins: "transfer-encoding", length: "first", folds: true }],
  ["a bare CR ends a line", { wins: "transfer-encoding", length: "last", bareCr: true }],
  ["lengths are octal", { wins: "content-length", length: "first", octal: true }],
  [
    "bodies are read only where they are usual",
    { wins: "transfer-encoding", length: "first", bodiless: ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] },
  ],
  ["expectations are refused", { wins: "transfer-encoding", length: "first", refusesExpect: true }],
];
