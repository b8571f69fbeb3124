import { once } from "node:events";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { TestContext } from "node:test";

type After = Pick<TestContext, "after">;

/** A bare TCP connection that remembers what it was told. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  readonly closed: Promise<string>;

  constructor(t: After, port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => (this.text += chunk.toString("latin1")));
    this.closed = new Promise((resolve) => {
      this.socket.once("end", () => resolve(this.text));
      this.socket.once("close", () => resolve(this.text));
    });
    t.after(() => this.socket.destroy());
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Resolves with all text so far, once it fits. Rejects when the connection ends before that. */
  async until(fits: RegExp): Promise<string> {
    while (!fits.test(this.text)) {
      if (this.socket.readableEnded || this.socket.destroyed)
        throw new Error(`closed without ${fits}: ${JSON.stringify(this.text)}`);
      await Promise.race([once(this.socket, "data"), this.closed]);
    }
    return this.text;
  }
}

/** Sends text, and answers all that came back until the server closed. */
export async function talk(t: After, port: number, text: string): Promise<string> {
  const client = new RawClient(t, port);
  client.send(text);
  return client.closed;
}

/** What came back on one HTTP/2 stream. */
export interface Reply {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
  /** The reset code; 0 for a clean end. */
  readonly code: number;
  readonly aborted: boolean;
}

export function http2Client(t: After, port: number, settings: object = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, settings);
  session.on("error", () => {});
  t.after(() => session.destroy());
  return session;
}

/** One request over HTTP/2, to its end. */
export async function h2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Buffer | string,
): Promise<Reply> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return settle(stream);
}

/** All that a stream brings, until it is closed. */
export function settle(stream: ClientHttp2Stream): Promise<Reply> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  let ended = false;
  stream.on("response", (head) => (headers = head));
  stream.on("trailers", (head: IncomingHttpHeaders) => (trailers = head));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => (ended = true));
  stream.on("error", () => {});
  return new Promise((resolve) => {
    stream.once("close", () =>
      resolve({
        headers,
        trailers,
        body: Buffer.concat(chunks),
        code: stream.rstCode ?? 0,
        aborted: stream.aborted || !ended,
      }),
    );
  });
}
