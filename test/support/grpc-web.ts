import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex, Readable } from "node:stream";
import type { TestContext } from "node:test";
import { http2Client } from "./clients.ts";

type After = Pick<TestContext, "after">;

export type Version = "1.1" | "2";

export const BINARY = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
export const TEXT = { ...BINARY, "content-type": "application/grpc-web-text" };

/** What a client asks beyond its messages. */
export interface Asking {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

/** A gRPC-Web call by a client that knows nothing of gRPC-Web: bytes out, bytes in. */
export class WebCall {
  /** Status and fields of the reply. */
  readonly head: Promise<{ status: number; headers: IncomingHttpHeaders }>;
  /** Resolves when nothing follows: whether the reply was complete as far as HTTP can tell. */
  readonly over: Promise<"complete" | "cut">;
  bytes = 0;

  readonly #chunks: Buffer[] = [];
  readonly #out: Duplex | ReturnType<typeof request>;
  #reply: Readable | undefined;
  #more = Promise.withResolvers<void>();

  constructor(
    t: After,
    port: number,
    version: Version,
    { method = "POST", path = "/Echo/Ping", headers = BINARY }: Asking = {},
  ) {
    const head = Promise.withResolvers<{ status: number; headers: IncomingHttpHeaders }>();
    const over = Promise.withResolvers<"complete" | "cut">();
    this.head = head.promise;
    this.over = over.promise;
    if (version === "1.1") {
      const asked = request({ host: "127.0.0.1", port, method, path, headers, agent: false });
      asked.on("error", () => over.resolve("cut"));
      asked.on("response", (reply) => {
        this.#read(reply);
        head.resolve({ status: reply.statusCode ?? 0, headers: reply.headers });
        reply.on("close", () => over.resolve(reply.complete ? "complete" : "cut"));
      });
      asked.flushHeaders();
      this.#out = asked;
      t.after(() => asked.destroy());
    } else {
      const stream = http2Client(t, port).request({ ":method": method, ":path": path, ...headers });
      let ended = false;
      stream.on("response", (fields) => {
        head.resolve({ status: fields[":status"] ?? 0, headers: fields });
        this.#read(stream);
      });
      stream.on("end", () => (ended = true));
      stream.on("error", () => {});
      stream.on("close", () => over.resolve(ended && stream.rstCode === 0 ? "complete" : "cut"));
      this.#out = stream;
    }
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  send(bytes: Buffer | string): this {
    this.#out.write(bytes);
    return this;
  }

  /** Sends, and says when that has left. */
  write(text: string, left: () => void): void {
    this.#out.write(text, (error) => {
      if (error === undefined || error === null) left();
    });
  }

  /** Reads no more. */
  hold(): void {
    this.#reply?.pause();
  }

  end(): this {
    this.#out.end();
    return this;
  }

  /** The page is closed. */
  leave(): void {
    this.#out.destroy();
  }

  /** Resolves once the body has so many bytes; rejects when the reply is over before. */
  async until(bytes: number): Promise<Buffer> {
    while (this.bytes < bytes) {
      const event = await Promise.race([this.#more.promise, this.over]);
      if (event !== undefined && this.bytes < bytes)
        throw new Error(`the reply is ${event} with ${this.bytes} bytes, not ${bytes}`);
    }
    return this.body;
  }

  #read(reply: Readable): void {
    this.#reply = reply;
    reply.on("error", () => {});
    reply.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#chunks.push(chunk);
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    });
  }
}

/** What a whole reply says. */
export interface WebReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly over: "complete" | "cut";
}

/** One call to its end. */
export async function webCall(
  t: After,
  port: number,
  version: Version,
  body: Buffer | string,
  asking?: Asking,
): Promise<WebReply> {
  const call = new WebCall(t, port, version, asking).send(body).end();
  const [head, over] = await Promise.all([call.head, call.over]);
  return { ...head, over, body: call.body };
}

/** A trailers frame as text. */
export function trailers(...lines: readonly string[]): string {
  const text = lines.map((line) => `${line}\r\n`).join("");
  return `\x80\0\0\0${String.fromCharCode(text.length)}${text}`;
}
