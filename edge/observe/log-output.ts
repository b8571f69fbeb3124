import { writeSync } from "node:fs";
import { isFullPipe } from "../errors.ts";

/** Where lines go, each a whole one. */
export interface LogOutput {
  /** Takes a line, which may wait a little for others to leave with. Its bytes are the caller's again afterwards. */
  write(line: Buffer): void;
  /** Lets what waits leave now. */
  flush(): void;
  /** Lines that were thrown away so far. */
  readonly dropped: number;
}

/**
 * Bytes of a write: alone, half of what a pipe holds; with others who write to the same pipe, what the kernel takes in one piece or not
 * at all (PIPE_BUF), so that no line of theirs comes between the halves of one of ours.
 */
export const PIECE_BYTES = { alone: 32_768, shared: 4096 } as const;
/** Bytes that wait at most; whoever reads them takes less than comes. */
const MAX_WAITING_BYTES = 1_048_576;
/** Milliseconds that a line waits for others to leave with: a timer costs as much as dozens of lines. */
const GATHER_MS = 100;
/** Milliseconds between two looks whether a pipe that was full takes more, doubled each time up to the last. */
const FULL_MS = { first: 1, last: 64 };
/** Milliseconds that an exit waits for what is left to be taken, and between two looks meanwhile. */
const EXIT_MS = 1000;
const EXIT_STEP_MS = 5;

/** Writes; answers how many bytes were taken, 0 when none can be at the moment. Throws when nobody will ever read them. */
export type WriteSome = (bytes: Buffer) => number;

/** Bytes that could not be written yet, and how many lines end in them. */
interface Waiting {
  bytes: Buffer;
  readonly lines: number;
}

/**
 * Lines gathered into few writes, since a write costs more than a line. Never waits: what a pipe does not take is kept, up to a
 * megabyte, and beyond that thrown away and counted. A log must not hold up those who are served.
 */
export class GatheredOutput implements LogOutput {
  dropped = 0;
  readonly #writeSome: WriteSome;
  /** Lines that are to leave together. */
  readonly #piece: Buffer;
  #length = 0;
  #lines = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #fullMs = FULL_MS.first;
  #isBroken = false;

  constructor(writeSome: WriteSome, pieceBytes: number = PIECE_BYTES.alone) {
    this.#writeSome = writeSome;
    this.#piece = Buffer.allocUnsafeSlow(pieceBytes);
  }

  write(line: Buffer): void {
    if (this.#length + line.length > this.#piece.length) this.#close();
    if (line.length > this.#piece.length) this.#send(line, 1);
    else {
      this.#piece.set(line, this.#length);
      this.#length += line.length;
      this.#lines++;
    }
    if (this.#timer === undefined) this.#timer = setTimeout(this.#onTime, GATHER_MS).unref();
  }

  flush(): void {
    this.#close();
    this.#resend();
  }

  /** Writes what is left, and waits a while for it to be taken. */
  flushAtExit(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    this.flush();
    for (let ms = 0; ms < EXIT_MS && this.#waiting.length > 0; ms += EXIT_STEP_MS) {
      Atomics.wait(sleeper, 0, 0, EXIT_STEP_MS);
      this.#resend();
    }
  }

  readonly #onTime = (): void => {
    this.#timer = undefined;
    this.flush();
    if (this.#waiting.length === 0) return;
    this.#timer = setTimeout(this.#onTime, this.#fullMs).unref();
    this.#fullMs = Math.min(FULL_MS.last, this.#fullMs * 2);
  };

  #close(): void {
    if (this.#lines === 0) return;
    this.#send(this.#piece.subarray(0, this.#length), this.#lines);
    this.#length = this.#lines = 0;
  }

  /** Writes, or keeps, or throws away; what has left in part is always kept. */
  #send(bytes: Buffer, lines: number): void {
    const taken = this.#waiting.length > 0 ? 0 : this.#take(bytes);
    if (taken === bytes.length) return;
    if (this.#isBroken || (taken === 0 && this.#waitingBytes + bytes.length > MAX_WAITING_BYTES)) {
      this.dropped += lines;
      return;
    }
    this.#waiting.push({ bytes: Buffer.from(bytes.subarray(taken)), lines });
    this.#waitingBytes += bytes.length - taken;
  }

  #resend(): void {
    let sent = 0;
    for (const next of this.#waiting) {
      const taken = this.#take(next.bytes);
      this.#waitingBytes -= taken;
      if (taken > 0) this.#fullMs = FULL_MS.first;
      next.bytes = next.bytes.subarray(taken);
      if (next.bytes.length > 0) break;
      sent++;
    }
    this.#waiting.splice(0, sent);
    if (!this.#isBroken) return;
    for (const { lines } of this.#waiting.splice(0)) this.dropped += lines;
  }

  #take(bytes: Buffer): number {
    if (this.#isBroken) return 0;
    try {
      return this.#writeSome(bytes);
    } catch {
      this.#isBroken = true;
      return 0;
    }
  }
}

/**
 * This process's standard output, which others may write to as well. What was written is there when the process has exited, if
 * somebody reads it.
 */
export function standardOutput(shared: boolean): LogOutput {
  const { fd } = process.stdout;
  const writeSome = (bytes: Buffer): number => {
    try {
      return writeSync(fd, bytes);
    } catch (thrown) {
      if (isFullPipe(thrown)) return 0;
      throw thrown;
    }
  };
  const output = new GatheredOutput(writeSome, shared ? PIECE_BYTES.shared : PIECE_BYTES.alone);
  process.once("exit", () => output.flushAtExit());
  return output;
}
