import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect, constants } from "node:http2";
import { EdgeError, RESET, fromUpstream } from "../errors.ts";
import type { BodyReceiver, HeaderList, Outgoing } from "../exchange.ts";
import { fromRaw } from "../headers.ts";
import { StreamBody, peerReset } from "../http2/body.ts";
import { CONNECTION_WINDOW, LENIENT, STREAM_WINDOW } from "../http2/session.ts";
import type { Address } from "../parse.ts";
import { connectTo } from "./connect.ts";

/** Mebibytes that the connection to one worker may hold in the edge, over all its streams. */
const SESSION_MIB = 512;
/** Fields that a reply head may have. */
const MAX_FIELDS = 1000;

/** What a worker's reply is told to. */
export interface ReplyReceiver extends BodyReceiver {
  inform(status: number, headers: HeaderList): void;
  /** `end` is true when nothing follows: for gRPC, a trailers-only reply. */
  head(status: number, headers: HeaderList, end: boolean): void;
}

/** One request to a worker: the request's bytes go out, the reply's come in. */
export interface UpstreamStream extends Outgoing {
  /** Gives back credit for `bytes` of the reply that have left the edge. */
  consume(bytes: number): void;
  /** Tells the worker that nobody waits any more. */
  cancel(): void;
}

/**
 *            open()                   'connect'              GOAWAY, 'close', 'error'
 *  closed ───────────▶ connecting ───────────────▶ ready ───────────────────────────▶ closed
 *     ▲                    │ 'error'
 *     └────────────────────┘
 *
 * A session that said GOAWAY finishes its streams by itself; the next request opens another.
 */
type State =
  | { readonly name: "closed" }
  | {
      readonly name: "connecting";
      readonly session: ClientHttp2Session;
      readonly ready: Promise<ClientHttp2Session>;
    }
  | { readonly name: "ready"; readonly session: ClientHttp2Session };

/** The HTTP/2 connection to one gRPC worker, opened when it is first needed and again after it ended. */
export class Http2Upstream {
  readonly #address: Address;
  readonly #connectMs: number;
  #state: State = { name: "closed" };

  constructor(address: Address, connectMs: number) {
    this.#address = address;
    this.#connectMs = connectMs;
  }

  /** Resolves once a request can be sent. Rejects with `upstream_refused` when the worker cannot be reached. */
  ready(): Promise<ClientHttp2Session> {
    const state = this.#state;
    if (state.name === "ready") return Promise.resolve(state.session);
    if (state.name === "connecting") return state.ready;
    return this.#connect();
  }

  /** Sends a request head and starts to listen for its reply. */
  async open(headers: Record<string, string | string[]>, receiver: ReplyReceiver): Promise<UpstreamStream> {
    const session = await this.ready();
    try {
      return listen(session.request(headers, { endStream: false, waitForTrailers: true }), receiver);
    } catch (thrown) {
      // The connection may have ended between two lines.
      throw fromUpstream(thrown);
    }
  }

  close(): void {
    if (this.#state.name !== "closed") this.#state.session.destroy();
    this.#state = { name: "closed" };
  }

  #connect(): Promise<ClientHttp2Session> {
    const session = connect("http://worker", {
      createConnection: () => connectTo(this.#address, this.#connectMs),
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW },
      maxSessionMemory: SESSION_MIB,
      maxHeaderListPairs: MAX_FIELDS,
      ...LENIENT,
    });
    const ready = new Promise<ClientHttp2Session>((resolve, reject) => {
      session.once("connect", () => {
        session.setLocalWindowSize(CONNECTION_WINDOW);
        this.#state = { name: "ready", session };
        resolve(session);
      });
      const lost = (thrown?: unknown): void => {
        if (this.#state.name !== "closed" && this.#state.session === session)
          this.#state = { name: "closed" };
        reject(fromUpstream(thrown));
      };
      session.on("error", lost);
      session.once("goaway", () => lost());
      session.once("close", () => lost());
    });
    this.#state = { name: "connecting", session, ready };
    return ready;
  }
}

function listen(stream: ClientHttp2Stream, receiver: ReplyReceiver): UpstreamStream {
  const body = new StreamBody(stream, (code) => resetBy(code));
  stream.on("headers", (_headers: unknown, _flags: number, raw: string[]) => {
    const [status, headers] = splitStatus(raw);
    receiver.inform(status, headers);
  });
  stream.on("response", (_headers: unknown, flags: number, raw: string[]) => {
    const [status, headers] = splitStatus(raw);
    receiver.head(status, headers, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
  });
  body.receive(receiver);
  return {
    set onSent(callback: (bytes: number) => void) {
      body.onSent = callback;
    },
    consume: (bytes) => body.consume(bytes),
    write: (chunk) => body.write(chunk),
    end: (trailers) => body.end(trailers),
    cancel: () => body.reset("CANCEL"),
  };
}

function resetBy(code: number): EdgeError {
  // By now some of the request may have been handed over, and it cannot be taken back for another worker.
  if (code === RESET.REFUSED_STREAM) return new EdgeError("upstream_reset", "the worker refused the stream");
  return peerReset(code, new EdgeError("upstream_reset"));
}

function splitStatus(raw: readonly string[]): [status: number, headers: string[]] {
  const headers = fromRaw(raw);
  const at = headers.indexOf(":status");
  const status = Number(headers[at + 1]);
  headers.splice(at, 2);
  return [status, headers];
}
