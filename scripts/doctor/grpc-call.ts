import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import type { Answer } from "./answer.ts";
import { headOf } from "./answer.ts";
import type { Site } from "./site.ts";
import { credentials } from "./site.ts";

const PREFIX_BYTES = 5;

/** One gRPC call, frame by frame: a client library hides where its status came from. */
export class GrpcCall {
  /** The reply's; no status means that none came. */
  answer: Answer = { status: 0, headers: {}, body: "" };
  trailers: IncomingHttpHeaders | undefined;
  /** When each message came, on performance.now()'s clock. */
  readonly came: number[] = [];
  readonly messages: Buffer[] = [];
  /** Resolves with the first message, or with the end of the reply. */
  readonly answered: Promise<void>;
  /** Resolves when nothing more comes. */
  readonly ended: Promise<void>;

  readonly #stream: ClientHttp2Stream;
  #rest = Buffer.alloc(0);

  constructor(session: ClientHttp2Session, site: Site, path: string) {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      ":authority": site.url.host,
      "content-type": "application/grpc",
      te: "trailers",
      ...credentials(site),
    });
    this.#stream = stream;
    const { promise: answered, resolve: first } = Promise.withResolvers<void>();
    this.answered = answered;
    stream.on("response", (head) => (this.answer = { ...this.answer, ...headOf(head) }));
    stream.on("trailers", (trailers: IncomingHttpHeaders) => (this.trailers = trailers));
    stream.on("data", (bytes: Buffer) => {
      if (this.isGrpc) this.#read(bytes);
      else this.answer = { ...this.answer, body: this.answer.body + bytes.toString() };
      if (this.messages.length > 0) first();
    });
    stream.once("end", first);
    // How it ended is read from rstCode.
    stream.on("error", () => {});
    this.ended = new Promise((resolve) =>
      stream.once("close", () => {
        first();
        resolve();
      }),
    );
  }

  /** HTTP/2's code; 0 is a clean end. */
  get resetCode(): number {
    return this.#stream.rstCode ?? 0;
  }

  get isGrpc(): boolean {
    const { status, headers } = this.answer;
    return status === 200 && (headers["content-type"] ?? "").startsWith("application/grpc");
  }

  /** From the trailers, or from the head of a reply that is nothing else. */
  get status(): number | undefined {
    const text = this.trailers?.["grpc-status"] ?? this.answer.headers["grpc-status"];
    return text === undefined ? undefined : Number(text);
  }

  get message(): string {
    const text = String(this.trailers?.["grpc-message"] ?? this.answer.headers["grpc-message"] ?? "");
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  send(message: Uint8Array): void {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    this.#stream.write(Buffer.concat([prefix, message]));
  }

  finish(): void {
    this.#stream.end();
  }

  cancel(): void {
    this.#stream.close(8);
  }

  #read(bytes: Buffer): void {
    const now = performance.now();
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + this.#rest.readUInt32BE(1);
      if (this.#rest.length < end) return;
      this.messages.push(this.#rest.subarray(PREFIX_BYTES, end));
      this.came.push(now);
      this.#rest = this.#rest.subarray(end);
    }
  }
}
