// What one worker of two does to clients when it hangs, babbles, breaks off or floods, until it is taken out.
import { END_HEADERS, END_STREAM, fields, frame } from "../support/frames.ts";
import { message } from "../support/grpc.ts";
import type { Hostility } from "../support/hostile-worker.ts";
import { SETTINGS, accepting, flood, hostileWorker } from "../support/hostile-worker.ts";
import { pause } from "../support/load.ts";
import type { Expected } from "../support/scenario-report.ts";
import type { Scenario } from "../support/scenarios.ts";
import { scenario } from "../support/scenarios.ts";
import type { EdgeStage } from "../support/stages.ts";
import { edgeAlone } from "../support/stages.ts";

/** Milliseconds that the bad worker is among the workers. */
const BAD_MS = 1500;
const PEAK_MIB = 200;

/** Sets the workers of all three protocols: the good ones, and one more of each on `bad`. */
async function exchange({ admin, workers }: EdgeStage, bad?: number): Promise<void> {
  const more = (scheme: string): string => (bad === undefined ? "" : `,${scheme}://127.0.0.1:${bad}`);
  const lists = {
    http: `http://127.0.0.1:${workers.http}${more("http")}`,
    grpc: `h2c://127.0.0.1:${workers.grpc}${more("h2c")}`,
    ws: `http://127.0.0.1:${workers.ws}${more("http")}`,
  };
  for (const [protocol, body] of Object.entries(lists))
    await fetch(`http://127.0.0.1:${admin}/upstreams/${protocol}`, { method: "PUT", body });
}

/** A worker that is hostile in this way joins the good ones, and leaves. */
function hostile(
  name: string,
  hostility: Hostility,
  expected: Pick<Expected, "may"> & Partial<Expected>,
  more: Partial<Pick<Scenario, "kinds" | "giveUpMs">> & { env?: Record<string, string> } = {},
): void {
  const { env, ...rest } = more;
  let stage: EdgeStage | undefined;
  scenario({
    name,
    stage: async (t) => (stage = await edgeAlone(t, env)),
    act: async (_stage, t) => {
      if (stage === undefined) return;
      await exchange(stage, await hostileWorker(t, hostility));
      await pause(BAD_MS);
      await exchange(stage);
    },
    expected: { wellMs: 1000, peakMiB: PEAK_MIB, ...expected },
    ...rest,
  });
}

const nothing = (): void => {};

hostile(
  "accepts and never answers",
  { http: nothing, grpc: nothing, websocket: nothing },
  {
    may: {
      http1: ["no answer"],
      http2: ["no answer"],
      unary: ["status 4", "status 14"],
      stream: ["status 4", "status 14"],
      websocket: ["504"],
    },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
    share: 0.5,
    wellMs: 1500,
  },
  { giveUpMs: 1000, env: { LIMIT_HANDSHAKE_MS: "500", LIMIT_HEAD_MS: "500" } },
);

// More than the frame that its first bytes would announce.
const GARBAGE = Buffer.from("\u0000\u0001 these are not the bytes you are looking for\r\n\r\n".repeat(20));
hostile(
  "answers garbage",
  {
    http: (socket) => void socket.write(GARBAGE),
    grpc: (socket) => void socket.write(GARBAGE),
    websocket: (socket) => void socket.write(GARBAGE),
  },
  {
    may: {
      http1: ["502"],
      http2: ["502"],
      unary: ["status 13", "status 14"],
      stream: ["status 13", "status 14"],
      websocket: ["502"],
    },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
  },
);

const GRPC_HEAD = fields([":status", "200"], ["content-type", "application/grpc"]);
hostile(
  "resets in the middle of its reply",
  {
    http: (socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
      setImmediate(() => socket.resetAndDestroy());
    },
    grpc: (socket, stream) => {
      socket.write(
        Buffer.concat([
          SETTINGS,
          frame("HEADERS", END_HEADERS, stream, GRPC_HEAD),
          frame("DATA", 0, stream, "\0"),
        ]),
      );
      setImmediate(() => socket.resetAndDestroy());
    },
    websocket: (socket, key) => {
      socket.write(accepting(key));
      // The beginning of a message of a hundred bytes.
      socket.write(Buffer.from([0x81, 100, 0x7b]), () => setImmediate(() => socket.resetAndDestroy()));
    },
  },
  {
    may: {
      http1: ["cut", "502"],
      http2: ["cut", "502"],
      unary: ["status 14"],
      stream: ["status 14"],
      websocket: ["cut", "502"],
    },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
  },
);

const PONG = '{"message":"pong"}';
hostile(
  "sends more than its content-length",
  {
    http: (socket) =>
      void socket.write(
        `HTTP/1.1 200 OK\r\ncontent-length: ${PONG.length}\r\n\r\n${PONG}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`,
      ),
    grpc: (socket, stream) =>
      void socket.write(
        Buffer.concat([
          SETTINGS,
          frame(
            "HEADERS",
            END_HEADERS,
            stream,
            fields([":status", "200"], ["content-type", "application/grpc"], ["content-length", "5"]),
          ),
          frame("DATA", 0, stream, Buffer.concat([message(), message()])),
          frame("HEADERS", END_HEADERS | END_STREAM, stream, fields(["grpc-status", "0"])),
        ]),
      ),
    websocket: nothing,
  },
  { may: { unary: ["status 14"] }, felt: ["unary"] },
  { kinds: ["http1", "http2", "unary"] },
);

const FIELDS = `x-more: ${"x".repeat(1000)}\r\n`.repeat(16);
hostile(
  "floods with header fields",
  {
    http: (socket) => flood(socket, "HTTP/1.1 200 OK\r\n", FIELDS),
    grpc: (socket, stream) =>
      flood(
        socket,
        Buffer.concat([SETTINGS, frame("HEADERS", 0, stream, GRPC_HEAD)]),
        frame("CONTINUATION", 0, stream, fields(["x-more", "x".repeat(1000)])),
      ),
    websocket: (socket, key) => flood(socket, accepting(key).slice(0, -2), FIELDS),
  },
  {
    may: {
      http1: ["502"],
      http2: ["502"],
      unary: ["status 13", "status 14"],
      stream: ["status 13", "status 14"],
      websocket: ["502"],
    },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
  },
);
