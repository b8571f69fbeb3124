/** A call that ended with another status than OK (0), as its trailers say. */
export class GrpcError extends Error {
  constructor(code, message) {
    super(message === "" ? `status ${code}` : `status ${code}: ${message}`);
    this.code = code;
  }
}

const TRAILERS = 0x80;
const UNKNOWN = 2;
const UNAVAILABLE = 14;

/**
 * Calls a method by gRPC-Web, and yields its messages as they come. `onHead` gets the reply's headers. Throws GrpcError for any
 * end but OK: a reply without trailers is not whole, whatever it brought.
 */
export async function* call(path, message, { headers, signal, onHead }) {
  const reply = await fetch(path, {
    method: "POST",
    headers: { ...headers, "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
    body: frame(message),
    signal,
  });
  onHead?.(reply.headers);
  if (reply.headers.has("grpc-status")) return ended(reply.headers);
  if (!reply.ok) throw new GrpcError(UNKNOWN, `HTTP ${reply.status}`);
  const frames = new FrameReader();
  for await (const chunk of chunks(reply.body)) {
    for (const { flag, payload } of frames.push(chunk)) {
      if (flag & TRAILERS) return ended(parseTrailers(payload));
      yield payload;
    }
  }
  throw new GrpcError(UNAVAILABLE, "the reply ended before it was whole");
}

/** Not every browser has async iteration of streams. */
async function* chunks(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function ended(trailers) {
  const code = Number(trailers.get("grpc-status") ?? UNKNOWN);
  if (code !== 0) throw new GrpcError(code, decodeURIComponent(trailers.get("grpc-message") ?? ""));
}

function parseTrailers(bytes) {
  const lines = new TextDecoder().decode(bytes).split("\r\n");
  const fields = lines.filter((line) => line.includes(":")).map((line) => line.split(/:\s*(.*)/s, 2));
  return new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));
}

/** A message behind its flag and its length (gRPC, "Length-Prefixed-Message"). */
export function frame(message) {
  const bytes = new Uint8Array(5 + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, 5);
  return bytes;
}

/** Cuts what comes into frames, wherever it was cut on the way. */
export class FrameReader {
  #held = new Uint8Array(0);

  push(chunk) {
    const bytes = new Uint8Array(this.#held.length + chunk.length);
    bytes.set(this.#held);
    bytes.set(chunk, this.#held.length);
    const frames = [];
    let at = 0;
    while (bytes.length - at >= 5) {
      const end = at + 5 + new DataView(bytes.buffer, at).getUint32(1);
      if (end > bytes.length) break;
      frames.push({ flag: bytes[at], payload: bytes.subarray(at + 5, end) });
      at = end;
    }
    this.#held = bytes.slice(at);
    return frames;
  }
}

/** A protobuf message of numbers and strings by their field numbers: all that the Echo service asks for. */
export function encodeMessage(fields) {
  const out = [];
  for (const [number, value] of Object.entries(fields)) {
    if (typeof value === "string") {
      const text = new TextEncoder().encode(value);
      out.push(...varint((Number(number) << 3) | 2), ...varint(text.length), ...text);
    } else out.push(...varint(Number(number) << 3), ...varint(value));
  }
  return Uint8Array.from(out);
}

function varint(value) {
  const bytes = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  bytes.push(left);
  return bytes;
}

/** The numbers and byte strings of a protobuf message, by field number. */
export function decodeMessage(bytes) {
  const fields = {};
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("the message is cut short");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = number();
    if ((key & 7) === 0) fields[key >> 3] = number();
    else if ((key & 7) === 2) {
      const length = number();
      fields[key >> 3] = bytes.subarray(at, at + length);
      at += length;
    } else throw new Error(`wire type ${key & 7} is not one of the Echo service`);
  }
  return fields;
}
