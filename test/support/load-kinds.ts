import { Agent, get } from "node:http";
import type { IncomingMessage } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectHttp2 } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { CountRequestSchema } from "../../services/grpc/gen/echo_pb.ts";
import { settle } from "./clients.ts";
import { message } from "./grpc.ts";

/** What one request came to: `ok`, or in a word or two how it failed. */
export type Outcome = string;

/** One client of one kind, which asks again and again. */
export interface LoadClient {
  ask(): Promise<Outcome>;
  close(): void;
}

/** What is never allowed: a reply that looks whole, and is not what was asked for. */
export const WRONG = "WRONG";

const PONG = '{"message":"pong"}';
/** Messages that go over one WebSocket. */
const MESSAGES_EACH = 10;
/** Messages of one stream, and the milliseconds between them. */
const STREAM = { count: 10, intervalMs: 10 };

/** One client for each kind of request that the edge serves. */
export const KINDS = {
  http1: (port: number): LoadClient => new Http1Client(port),
  http2: (port: number): LoadClient => new Http2Client(port, askHttp),
  unary: (port: number, deadlineMs: number): LoadClient =>
    new Http2Client(port, (session) => askUnary(session, deadlineMs)),
  stream: (port: number, deadlineMs: number): LoadClient =>
    new Http2Client(port, (session) => askStream(session, deadlineMs)),
  websocket: (port: number): LoadClient => new WebSocketClient(port),
} as const;

export type Kind = keyof typeof KINDS;

class Http1Client implements LoadClient {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  ask(): Promise<Outcome> {
    return new Promise((resolve) => {
      const onReply = async (res: IncomingMessage): Promise<void> => {
        const body = await res.toArray().catch(() => undefined);
        const isPong =
          body !== undefined &&
          Buffer.concat(body as Buffer[])
            .toString()
            .trim() === PONG;
        const { statusCode = 0 } = res;
        resolve(body === undefined ? "cut" : statusCode !== 200 ? String(statusCode) : isPong ? "ok" : WRONG);
      };
      const url = { host: "127.0.0.1", port: this.#port, path: "/ping", agent: this.#agent };
      get(url, (res) => void onReply(res)).on("error", (error) => resolve(unconnected(error)));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** A connection that never came to be, or one that ended under a request. */
function unconnected(error: unknown): Outcome {
  return (error as { code?: string }).code === "ECONNREFUSED" ? "refused" : "cut";
}

class Http2Client implements LoadClient {
  readonly #port: number;
  readonly #ask: (session: ClientHttp2Session) => Promise<Outcome>;
  #session: ClientHttp2Session | undefined;

  constructor(port: number, ask: (session: ClientHttp2Session) => Promise<Outcome>) {
    this.#port = port;
    this.#ask = ask;
  }

  ask(): Promise<Outcome> {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connectHttp2(`http://127.0.0.1:${this.#port}`);
      this.#session.on("error", () => {});
    }
    return this.#ask(this.#session);
  }

  close(): void {
    this.#session?.destroy();
  }
}

async function askHttp(session: ClientHttp2Session): Promise<Outcome> {
  const { headers, body, code, aborted } = await settle(session.request({ ":path": "/ping" }));
  const status = Number(headers[":status"] ?? 0);
  if (status === 0 || code !== 0 || aborted) return "cut";
  if (status !== 200) return String(status);
  return body.toString().trim() === PONG ? "ok" : WRONG;
}

const GRPC = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };

async function askUnary(session: ClientHttp2Session, deadlineMs: number): Promise<Outcome> {
  const { status, messages } = await call(session, "/Echo/Ping", message(), deadlineMs);
  return status === "0" ? (messages === 1 ? "ok" : WRONG) : status;
}

async function askStream(session: ClientHttp2Session, deadlineMs: number): Promise<Outcome> {
  const bytes = toBinary(CountRequestSchema, create(CountRequestSchema, STREAM));
  const request = Buffer.concat([message(bytes.length).subarray(0, 5), bytes]);
  const { status, messages } = await call(session, "/Echo/Count", request, deadlineMs);
  return status === "0" ? (messages === STREAM.count ? "ok" : WRONG) : status;
}

/** Its grpc-status, or `cut` when none came. */
async function call(
  session: ClientHttp2Session,
  path: string,
  request: Buffer,
  deadlineMs: number,
): Promise<{ status: Outcome; messages: number }> {
  const stream = session.request({ ...GRPC, ":path": path, "grpc-timeout": `${deadlineMs}m` });
  stream.end(request);
  const { headers, trailers, body } = await settle(stream);
  const status = trailers["grpc-status"] ?? headers["grpc-status"];
  return {
    status: status === undefined ? "cut" : status === "0" ? "0" : `status ${status}`,
    messages: countMessages(body),
  };
}

function countMessages(body: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= body.length; at += 5 + body.readUInt32BE(at + 1)) count++;
  return count;
}

/** A WebSocket that is kept, and opened again when it was closed: which is a failure of the message that would have been next. */
class WebSocketClient implements LoadClient {
  readonly #port: number;
  #socket: WebSocket | undefined;
  #closed: Outcome | undefined;
  #sent = 0;
  /** Called with a message, or without when it was closed. */
  #heard: (message?: Buffer) => void = () => {};

  constructor(port: number) {
    this.#port = port;
  }

  async ask(): Promise<Outcome> {
    if (this.#sent === MESSAGES_EACH) this.#leave();
    const problem = this.#closed ?? (this.#socket === undefined ? await this.#open() : undefined);
    if (problem !== undefined) {
      this.#closed = this.#socket = undefined;
      this.#sent = 0;
      return problem;
    }
    const socket = this.#socket;
    if (socket === undefined) return "cut";
    const text = `message ${++this.#sent}`;
    socket.send(JSON.stringify({ message: text }));
    const reply = await new Promise<Buffer | undefined>((resolve) => (this.#heard = resolve));
    if (reply === undefined) return this.ask();
    const { request } = JSON.parse(reply.toString()) as { request?: { message?: string } };
    return request?.message === text ? "ok" : WRONG;
  }

  close(): void {
    this.#socket?.terminate();
  }

  /** Of its own accord: the next message goes over another. */
  #leave(): void {
    this.#socket?.removeAllListeners("close").close(1000);
    this.#socket = undefined;
    this.#sent = 0;
  }

  async #open(): Promise<Outcome | undefined> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/ws`);
    const refused = new Promise<Outcome>((resolve) => {
      socket.once("unexpected-response", (_request, reply: IncomingMessage) => {
        resolve(String(reply.statusCode ?? 0));
        reply.destroy();
      });
      socket.on("error", (error) => resolve(unconnected(error)));
    });
    const opened = new Promise<undefined>((resolve) => void socket.once("open", () => resolve(undefined)));
    const problem = await Promise.race([opened, refused]);
    if (problem !== undefined) return problem;
    this.#socket = socket;
    socket.on("message", (bytes: Buffer) => this.#heard(bytes));
    socket.once("close", (code) => {
      this.#closed = code === 1006 ? "cut" : `closed ${code}`;
      this.#heard();
    });
    return undefined;
  }
}
