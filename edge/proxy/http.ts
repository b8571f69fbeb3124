import { EventEmitter } from "node:events";
import proxy from "http2-proxy";
import { EdgeError, fromUpstream } from "../errors.ts";
import type { Exchange, HeaderList } from "../exchange.ts";
import {
  find,
  framing,
  fromRaw,
  isFinalStatus,
  toClient,
  trailersToClient,
  trailersToWorker,
  withoutFields,
} from "../headers.ts";
import { ReadableSource } from "../node-streams.ts";
import type { HttpUpstream, WorkerReply } from "../upstream/http-request.ts";
import { UpstreamRequest } from "../upstream/http-request.ts";
import type { Forward } from "./forward.ts";

/** Carries a request to an HTTP/1.1 worker by http2-proxy. Resolves when the reply is complete, rejects with an EdgeError. */
export async function forwardHttp({ exchange, upstream, headers }: Forward<HttpUpstream>): Promise<void> {
  if (exchange.gone) throw new EdgeError("client_gone");
  const { method, path, hasBody } = exchange.head;
  const request = new RequestStandIn(exchange);
  const reply = new ReplyStandIn();
  const carried = proxy.web(request, reply, {
    onReq: () =>
      new UpstreamRequest(upstream, {
        method,
        path,
        headers: requestHeaders(exchange, headers),
        trailers: () => trailersToWorker(request.trailers),
        inform: (status, fields) => exchange.inform(status, toClient(fields)),
        repeatable: !hasBody && ["GET", "HEAD", "OPTIONS"].includes(method),
      }),
    onRes: (_request, _reply, answer) =>
      sendReply(exchange, answer as WorkerReply, () => reply.emit("finish")),
  });
  await carried.catch((thrown: unknown) => {
    throw fromUpstream(thrown);
  });
}

function requestHeaders({ head }: Exchange, headers: HeaderList): HeaderList {
  const length = find(head.headers, "content-length");
  const framed = framing(head.method, head.hasBody, length);
  // Trailers go with chunks only, and so does their announcement: Node refuses it elsewhere.
  const chunked = head.hasBody && length === undefined;
  return ["host", head.authority, ...framed, ...(chunked ? headers : withoutFields(headers, "trailer"))];
}

/** Passes a worker's reply on, head first: a reply that dribbles (SSE) must not wait for its first byte. */
export function sendReply(exchange: Exchange, reply: WorkerReply, finished: () => void): void {
  const { message, status } = reply;
  if (!isFinalStatus(status))
    throw new EdgeError("upstream_garbage", `the worker answered with status ${status}`);
  const bodiless = exchange.head.method === "HEAD" || [204, 205, 304].includes(status);
  const source = new ReadableSource(message, () =>
    message.complete ? fromRaw(message.rawTrailers) : undefined,
  );
  const fields = toClient(fromRaw(message.rawHeaders));
  // RFC 9110, sections 8.6 and 15.3.6: neither has a body, and a length would promise one.
  const head = status === 204 || status === 205 ? withoutFields(fields, "content-length") : fields;
  exchange.respond(status, head, bodiless);
  // A 205 may come with a body all the same, which nobody wants: its connection is given up.
  if (status === 205) return finished();
  exchange.onSent = (bytes) => source.consume(bytes);
  source.receive({
    data: (chunk) => exchange.write(chunk),
    end: (trailers) => {
      exchange.end(trailersToClient(trailers));
      finished();
    },
    abort: () => {},
  });
}

/** The client's request as http2-proxy wants it: it listens for 'data' once the worker is connected, pauses and resumes. */
class RequestStandIn extends EventEmitter {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly headers = {};
  readonly socket: object;
  readonly aborted = false;
  trailers: HeaderList = [];

  readonly #exchange: Exchange;
  #paused = false;
  #held = 0;

  constructor(exchange: Exchange) {
    super();
    this.#exchange = exchange;
    this.method = exchange.head.method;
    this.url = exchange.head.path;
    this.httpVersion = exchange.head.version;
    // Whoever asked may be gone when the client goes.
    this.on("error", () => {});
    this.socket = { remoteAddress: exchange.peer.address, localAddress: exchange.peer.localAddress };
    // 'end' is the last listener http2-proxy adds: from then on nothing is missed.
    this.on("newListener", (event) => {
      if (event === "end") queueMicrotask(() => this.#receive());
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#exchange.consume(this.#held);
    this.#held = 0;
  }

  #receive(): void {
    this.#exchange.receive({
      data: (chunk) => {
        this.emit("data", chunk);
        if (this.#paused) this.#held += chunk.length;
        else this.#exchange.consume(chunk.length);
      },
      end: (trailers) => {
        this.trailers = trailers;
        this.emit("end");
      },
      abort: (error) => this.emit("error", error),
    });
  }
}

/** The client's reply as http2-proxy wants it. It only listens for its end; `sendReply` writes it. */
class ReplyStandIn extends EventEmitter {
  writeHead(): void {}
}
