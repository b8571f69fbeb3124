// A gRPC worker that holds the calls it gets until it is told to answer them.
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server } from "node:net";
import type { TestContext } from "node:test";

interface Held {
  readonly stream: ServerHttp2Stream;
  readonly path: string | undefined;
  readonly session: unknown;
}

export class Holding {
  /** In the order in which they came. */
  readonly #held: Held[] = [];
  readonly #server;
  readonly #sessions = new Set<ServerHttp2Session>();
  #came = Promise.withResolvers<void>();

  private constructor(streams: number) {
    this.#server = createServer({ settings: { maxConcurrentStreams: streams } });
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
    });
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      this.#held.push({ stream, path: headers[":path"], session: stream.session });
      this.#came.resolve();
      this.#came = Promise.withResolvers();
    });
  }

  /** One that takes `streams` calls at a time on each connection. */
  static async start(t: Pick<TestContext, "after">, streams: number): Promise<Holding> {
    const worker = new Holding(streams);
    await new Promise<void>((resolve) => worker.#server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      worker.#server.close();
      for (const session of worker.#sessions) session.destroy();
    });
    return worker;
  }

  get address(): string {
    return `h2c://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Calls that have come. */
  get count(): number {
    return this.#held.length;
  }

  get paths(): (string | undefined)[] {
    return this.#held.map(({ path }) => path);
  }

  /** The connection on which each call came. */
  get cameOn(): unknown[] {
    return this.#held.map(({ session }) => session);
  }

  /** Connections that have brought a call. */
  get connections(): number {
    return new Set(this.cameOn).size;
  }

  /** Call number `index`, once it is there. */
  async call(index: number): Promise<ServerHttp2Stream> {
    for (;;) {
      const held = this.#held[index];
      if (held !== undefined) return held.stream;
      await this.#came.promise;
    }
  }

  /** Answers call number `index`, once it is there. */
  async answer(index: number): Promise<void> {
    const call = await this.call(index);
    call.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  }

  /** Begins to count at 0 again. */
  forget(): void {
    this.#held.length = 0;
  }

  /** Accepts no further connection. */
  shut(): void {
    // HTTP/2's own would end those that are open.
    Server.prototype.close.call(this.#server);
  }
}
