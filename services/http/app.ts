import { createHash } from "node:crypto";
import { STATUS_CODES } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Express, Request, Response } from "express";
import express from "express";
import type { Console } from "./console.ts";
import { createConsole } from "./console.ts";

/** Bytes of a body that /echo reads back. */
const MAX_ECHO_BYTES = 1_048_576;
const CHUNK = Buffer.alloc(64 * 1024, "oneport ");

/** The example HTTP worker. It trusts the edge on loopback for where a request came from and who sent it. */
export function createApp(): Express {
  const app = express();
  app.disable("x-powered-by");
  app.set("trust proxy", "loopback");
  const page = createConsole();
  app.get("/", (req, res) => index(req, res, page));
  app.get("/ping", (_req, res) => void res.json({ message: "pong" }));
  app.all("/echo", echo);
  app.all("/status/:code", status);
  app.post("/upload", upload);
  app.put("/upload", upload);
  app.get("/download", download);
  app.get("/events", events);
  app.get("/slow", slow);
  app.use((req, res) => void res.status(404).json({ error: "not_found", path: req.path }));
  app.use((error: Error & { status?: number }, _req: Request, res: Response, next: () => void) => {
    if (res.headersSent) return void res.destroy();
    res.status(error.status ?? 500).json({ error: error.status === undefined ? "internal" : error.message });
    void next;
  });
  return app;
}

/** What there is to try: a page for browsers, a list for others. */
function index(req: Request, res: Response, page: Console): void {
  res.vary("accept");
  // Anything will do for curl, and a list is what it can show.
  if (req.accepts(["json", "html"]) === "html") {
    res.set("content-security-policy", page.contentSecurityPolicy);
    res.set("x-content-type-options", "nosniff");
    return void res.type("html").send(page.html);
  }
  res.json({
    routes: {
      "GET /": "this list, or a page to try all three protocols from a browser",
      "GET /ping": 'answers {"message":"pong"}',
      "ANY /echo": "method, headers and body (up to 1 MiB) as they arrived, and who sent them",
      "POST|PUT /upload": "counts a body of any size and hashes it",
      "GET /download?bytes=N": "N bytes, up to 10 GiB",
      "GET /events?count=N&interval_ms=M": "N server-sent events, M ms apart",
      "GET /slow?ms=N": "answers after N ms, up to 60000",
      "ANY /status/N": "answers with that status, 200 to 599",
    },
  });
}

async function echo(req: Request, res: Response): Promise<void> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_ECHO_BYTES) chunks.push(chunk);
  }
  res.json({
    method: req.method,
    url: req.originalUrl,
    httpVersion: req.httpVersion,
    client: req.ip,
    protocol: req.protocol,
    host: req.host,
    worker: `http ${process.pid}`,
    rawHeaders: req.rawHeaders,
    bytes,
    body: Buffer.concat(chunks).toString(),
    trailers: req.trailers,
  });
}

function status(req: Request, res: Response): void {
  const code = number(req.params["code"], 200, 599);
  if (code === undefined) return void res.status(400).json({ error: "the status must be from 200 to 599" });
  if (code === 204 || code === 304) return void res.status(code).end();
  res.status(code).json({ status: code, text: STATUS_CODES[code] ?? "" });
}

async function upload(req: Request, res: Response): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  res.json({ bytes, sha256: hash.digest("hex") });
}

async function download(req: Request, res: Response): Promise<void> {
  const bytes = number(req.query["bytes"], 0, 10 * 1024 ** 3);
  if (bytes === undefined) return void res.status(400).json({ error: "bytes must be from 0 to 10737418240" });
  res.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes });
  for (let left = bytes; left > 0 && !res.destroyed; left -= CHUNK.length) {
    if (!res.write(left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left))) await drained(res);
  }
  res.end();
}

async function events(req: Request, res: Response): Promise<void> {
  const count = number(req.query["count"] ?? "5", 1, 100_000);
  const intervalMs = number(req.query["interval_ms"] ?? "1000", 0, 60_000);
  if (count === undefined || intervalMs === undefined) {
    return void res
      .status(400)
      .json({ error: "count must be from 1 to 100000, interval_ms from 0 to 60000" });
  }
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  res.flushHeaders();
  for (let id = 1; id <= count && !res.destroyed; id++) {
    await sleep(intervalMs);
    if (!res.write(`id: ${id}\ndata: ${JSON.stringify({ message: "pong", id })}\n\n`)) await drained(res);
  }
  res.end();
}

async function slow(req: Request, res: Response): Promise<void> {
  const ms = number(req.query["ms"] ?? "1000", 0, 60_000);
  if (ms === undefined) return void res.status(400).json({ error: "ms must be from 0 to 60000" });
  await sleep(ms);
  res.json({ message: "pong", ms });
}

/** Resolves when the reply takes more, or when the client has left. */
function drained(res: Response): Promise<void> {
  if (res.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      res.off("drain", done);
      res.off("close", done);
      resolve();
    };
    res.on("drain", done);
    res.on("close", done);
  });
}

function number(text: unknown, min: number, max: number): number | undefined {
  if (typeof text !== "string" || !/^[0-9]{1,12}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
