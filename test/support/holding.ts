// A gRPC worker that holds the calls it gets until it is told to answer them.
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Server } from "node:net";
import type { TestContext } from "node:test";
import { startHttp2 } from "./workers.ts";

interface Held {
  readonly stream: ServerHttp2Stream;
  readonly path: string | undefined;
  readonly session: unknown;
}

export class Holding {
  /** In the order in which they came. */
  readonly #held: Held[] = [];
  #server: Http2Server | undefined;
  #address = "";
  #came = Promise.withResolvers<void>();

  private constructor() {}

  /** One that takes `streams` calls at a time on each connection. */
  static async start(t: Pick<TestContext, "after">, streams: number): Promise<Holding> {
    const worker = new Holding();
    const onStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
      worker.#held.push({ stream, path: headers[":path"], session: stream.session });
      worker.#came.resolve();
      worker.#came = Promise.withResolvers();
    };
    const { address, server } = await startHttp2(t, onStream, { maxConcurrentStreams: streams });
    worker.#address = address;
    worker.#server = server;
    return worker;
  }

  get address(): string {
    return this.#address;
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
    if (this.#server !== undefined) Server.prototype.close.call(this.#server);
  }
}
