import type { EdgeError } from "../../edge/errors.ts";
import type { HeaderList } from "../../edge/exchange.ts";
import { address } from "../../edge/settings/parse.ts";
import { requestHead } from "../../edge/upstream/http1/request-head.ts";
import type { Http1Stream, WorkerReceiver, WorkerRequest } from "../../edge/upstream/http1/stream.ts";
import { Http1Upstream } from "../../edge/upstream/http1/upstream.ts";

export const GET: WorkerRequest = {
  method: "GET",
  text: requestHead("GET", "/", ["host", "a"]),
  body: "none",
  upgrade: false,
  isLast: false,
  repeatable: true,
};

export const POST: WorkerRequest = {
  ...GET,
  method: "POST",
  text: requestHead("POST", "/", ["host", "a", "transfer-encoding", "chunked"]),
  body: "chunked",
  repeatable: false,
};

/** A POST whose body has so many bytes. */
export function counted(length: number): WorkerRequest {
  const text = requestHead("POST", "/", ["host", "a", "content-length", String(length)]);
  return { ...POST, text, body: length };
}

/** A client towards one worker; closed with the test. */
export function upstreamTo(
  t: { after(end: () => void): void },
  worker: string,
  options: { connectMs?: number; headBytes?: number } = {},
): Http1Upstream {
  const where = address("http")(worker);
  const upstream = new Http1Upstream(where, { connectMs: 5000, headBytes: 16_384, ...options });
  t.after(() => upstream.close());
  return upstream;
}

/** One request, and all that came of it. Bytes of the reply are given back at once, unless `hold` is set. */
export class Asking implements WorkerReceiver {
  readonly stream: Http1Stream;
  readonly isGone = false;
  readonly interim: number[] = [];
  status = 0;
  headers: HeaderList = [];
  body = "";
  bytes = 0;
  trailers: HeaderList = [];
  hold = false;
  upgraded: WorkerReceiver["upgraded"];

  readonly #over: PromiseWithResolvers<string> = Promise.withResolvers<string>();
  #waiting: (() => void)[] = [];

  constructor(upstream: Http1Upstream, request: WorkerRequest, upgraded?: WorkerReceiver["upgraded"]) {
    this.upgraded = upgraded;
    this.stream = upstream.open(request, this);
  }

  /** How it ended: "end", or the failure's code. */
  get over(): Promise<string> {
    return this.#over.promise;
  }

  connected(): void {
    this.#tell();
  }

  /** Resolves as soon as the request may be sent. */
  async ready(): Promise<this> {
    return this.until(() => this.stream.isConnected);
  }

  async until(is: () => boolean): Promise<this> {
    while (!is()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this;
  }

  inform(status: number): void {
    this.interim.push(status);
    this.#tell();
  }

  head(status: number, headers: HeaderList): void {
    this.status = status;
    this.headers = headers;
    this.#tell();
  }

  data(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes < 100_000) this.body += chunk.toString("latin1");
    if (!this.hold) this.stream.consume(chunk.length);
    this.#tell();
  }

  end(trailers: HeaderList): void {
    this.trailers = trailers;
    this.#over.resolve("end");
  }

  abort(error: EdgeError): void {
    this.#over.resolve(error.code);
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** A request without a body, to its end. */
export async function ask(upstream: Http1Upstream, request: WorkerRequest = GET): Promise<Asking> {
  const asking = new Asking(upstream, request);
  await asking.over;
  return asking;
}
