import { connect } from "node:net";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";

const TYPES = [
  "DATA",
  "HEADERS",
  "PRIORITY",
  "RST_STREAM",
  "SETTINGS",
  "PUSH_PROMISE",
  "PING",
  "GOAWAY",
  "WINDOW_UPDATE",
  "CONTINUATION",
];
const TYPE: Record<string, number> = Object.fromEntries(TYPES.map((name, index) => [name, index]));

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** One HTTP/2 frame (RFC 9113, section 4.1). */
export function frame(type: string, flags: number, stream: number, payload: Buffer | string = ""): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = TYPE[type] ?? 0xff;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Header fields as literals without indexing and without Huffman (RFC 7541, section 6.2.2): any bytes can be sent. */
export function fields(...list: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** A 7-bit prefix integer (RFC 7541, section 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const out = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  return Buffer.from([...out, rest]);
}

export const END_STREAM = 1;
export const END_HEADERS = 4;

/** A GET or POST of `path`, as a HEADERS frame. */
export function headers(
  stream: number,
  method: string,
  path: string,
  more: readonly (readonly [string, string])[] = [],
  end = true,
): Buffer {
  const block = fields(
    [":method", method],
    [":scheme", "http"],
    [":path", path],
    [":authority", "a"],
    ...more,
  );
  return frame("HEADERS", END_HEADERS | (end ? END_STREAM : 0), stream, block);
}

/** A bare HTTP/2 client: bytes in, frames out. */
export class FrameClient {
  readonly socket: Socket;
  /** Frames in words: `DATA 1 18 END_STREAM`, `RST_STREAM 1 2`; of the connection's only `GOAWAY code` and `GOAWAY_LAST id`. */
  readonly frames: string[] = [];
  /** Resolves when the server has acknowledged our SETTINGS, and so has read what was sent before them. */
  readonly settled: Promise<void>;
  #settle = (): void => {};
  /** Resolves when the connection is closed: with its last GOAWAY, or "closed" without one. */
  readonly ended: Promise<string>;
  #bytes = Buffer.alloc(0);
  #waiting: (() => void)[] = [];
  #closed = false;
  #opened = false;

  constructor(t: TestContext, port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.#closed = true;
        this.#wake();
        resolve(this.frames.findLast((text) => text.startsWith("GOAWAY ")) ?? "closed");
      });
    });
    t.after(() => this.socket.destroy());
  }

  /** Sends the preface and empty SETTINGS, then these frames. Only a client opened so acknowledges SETTINGS. */
  open(...frames: readonly Buffer[]): void {
    this.#opened = true;
    this.socket.write(Buffer.concat([PREFACE, frame("SETTINGS", 0, 0), ...frames]));
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** Resolves with all frames so far once one fits; rejects when the connection ends before. */
  async until(fits: RegExp): Promise<string[]> {
    while (!this.frames.some((text) => fits.test(text))) {
      if (this.#closed) throw new Error(`closed without ${fits}: ${this.frames.join(", ")}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.frames;
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9) {
      const length = this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < 9 + length) break;
      this.#note(
        this.#bytes[3] ?? 0,
        this.#bytes[4] ?? 0,
        this.#bytes.readUInt32BE(5),
        this.#bytes.subarray(9, 9 + length),
      );
      this.#bytes = this.#bytes.subarray(9 + length);
    }
    this.#wake();
  }

  #note(type: number, flags: number, stream: number, payload: Buffer): void {
    const name = TYPES[type] ?? `TYPE_${type}`;
    if (name === "SETTINGS" && (flags & 1) === 0 && this.#opened) this.socket.write(frame("SETTINGS", 1, 0));
    if (name === "SETTINGS" && (flags & 1) !== 0) return this.#settle();
    if (name === "GOAWAY") {
      this.frames.push(`GOAWAY ${payload.readUInt32BE(4)}`, `GOAWAY_LAST ${payload.readUInt32BE(0)}`);
      return;
    }
    if (stream === 0) return;
    const end = (name === "DATA" || name === "HEADERS") && (flags & END_STREAM) !== 0 ? " END_STREAM" : "";
    const detail =
      name === "DATA" ? ` ${payload.length}` : name === "RST_STREAM" ? ` ${payload.readUInt32BE(0)}` : "";
    this.frames.push(`${name} ${stream}${detail}${end}`);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
