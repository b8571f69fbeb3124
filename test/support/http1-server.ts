import { once } from "node:events";
import type { TestContext } from "node:test";
import { readConfig } from "../../edge/settings/config.ts";
import type { EdgeError } from "../../edge/errors.ts";
import type { BodyReceiver, Exchange } from "../../edge/exchange.ts";
import type { LimitName } from "../../edge/limits.ts";
import type { EdgeServer } from "../../edge/port/server.ts";
import { createEdgeServer } from "../../edge/port/server.ts";
import type { RawClient } from "./clients.ts";

/** An edge without workers: exchanges are the test's own. */
export interface Served {
  readonly port: number;
  readonly server: EdgeServer;
  /** All exchanges so far. */
  readonly exchanges: Exchange[];
  /** Those that are over, in the order in which they were. */
  readonly closed: Exchange[];
  /** The limits that clients exceeded. */
  readonly limits: LimitName[];
  /** The exchange of this number, from 0, once it is there. */
  exchange(index: number): Promise<Exchange>;
}

/** Serves on a free port. Without `handle` exchanges wait for the test to answer them. */
export async function serve(
  t: Pick<TestContext, "after">,
  handle: (exchange: Exchange) => void = () => {},
  env: Record<string, string> = {},
): Promise<Served> {
  const exchanges: Exchange[] = [];
  const closed: Exchange[] = [];
  const limits: LimitName[] = [];
  let arrived = Promise.withResolvers<void>();
  const handleAndTell = (exchange: Exchange): void => {
    exchanges.push(exchange);
    exchange.onClosed = () => void closed.push(exchange);
    handle(exchange);
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  };
  const server = createEdgeServer(readConfig(env), handleAndTell, (limit) => void limits.push(limit));
  const port = await server.listen(0);
  t.after(() => server.destroy());
  return {
    port,
    server,
    exchanges,
    closed,
    limits,
    async exchange(index) {
      for (;;) {
        const found = exchanges[index];
        if (found !== undefined) return found;
        await arrived.promise;
      }
    },
  };
}

export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

export function post(length: number, body = "", more = ""): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n${more}\r\n${body}`;
}

/** Answers 200 with a text. */
export function answer(exchange: Exchange, text: string): void {
  exchange.respond(200, ["content-length", String(text.length)], false);
  exchange.write(Buffer.from(text));
  exchange.end([]);
}

/** Takes a body, gives back credit when told to, and tells how it ended. */
export class Sink implements BodyReceiver {
  text = "";
  bytes = 0;
  readonly over: Promise<string>;
  readonly #end: (how: string) => void;
  readonly #onData: (bytes: number) => void;

  constructor(onData: (bytes: number) => void = () => {}) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.over = promise;
    this.#end = resolve;
    this.#onData = onData;
  }

  data(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.text.length < 1000) this.text += chunk.toString("latin1");
    this.#onData(chunk.length);
  }

  end(trailers: readonly string[]): void {
    this.#end(`end ${trailers.join("|")}`.trimEnd());
  }

  abort(error: EdgeError): void {
    this.#end(error.code);
  }
}

/** Writes a piece over and over until the server has read none for half a second, or has closed; answers the bytes written. */
export async function untilStuck(client: RawClient, piece: Buffer, most: number): Promise<number> {
  let written = 0;
  while (written < most) {
    written += piece.length;
    if (client.socket.write(piece)) continue;
    const stuck = new Promise<string>((resolve) => setTimeout(resolve, 500, "stuck"));
    const drained = once(client.socket, "drain").catch(() => "stuck");
    if ((await Promise.race([drained, stuck])) === "stuck") break;
  }
  return written;
}
