import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { fieldLine } from "../message/field-lines.ts";
import { TRAILERS_FLAG } from "./messages.ts";

/**
 * Trailers as the last frame of a body: a flag, the length, and a line each (PROTOCOL-WEB.md, "Message framing"). What
 * comes several times is one line with commas: some clients keep only the last of equal names. Throws `upstream_garbage`.
 */
export function trailersFrame(trailers: HeaderList): Buffer {
  const values = new Map<string, string>();
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] ?? "";
    const value = trailers[i + 1] ?? "";
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  let text = "";
  for (const [name, value] of values) text += fieldLine(name, value, unsafe);
  const frame = Buffer.allocUnsafe(5 + text.length);
  frame[0] = TRAILERS_FLAG;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, 5, "latin1");
  return frame;
}

function unsafe(): EdgeError {
  return new EdgeError("upstream_garbage", "the worker's trailers cannot be sent as lines");
}
