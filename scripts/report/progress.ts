import type { WriteStream } from "node:tty";

/** A part of a long run, and how much of the whole it is. */
export interface Part {
  readonly name: string;
  /** Seconds that it is expected to take: only their proportions count, once something was done. */
  readonly seconds: number;
  /** Lines that are said in it. */
  readonly lines: number;
}

type Output = Pick<WriteStream, "write"> & { readonly isTTY?: boolean; readonly columns?: number };

const CLEAR_LINE = "\r\u001b[2K";

/**
 * Tells how far a long run is. On a terminal the last line says what runs, which part of how many it is and what time is left, and what is said goes
 * by above it; elsewhere there are plain lines, one more at the start of each part.
 */
export class Progress {
  readonly #output: Output;
  readonly #parts: readonly Part[];
  readonly #now: () => number;
  readonly #startedAt: number;
  #at = -1;
  #lines = 0;

  /** `now` is a clock in milliseconds. */
  constructor(output: Output, parts: readonly Part[], now: () => number = () => performance.now()) {
    this.#output = output;
    this.#parts = parts;
    this.#now = now;
    this.#startedAt = now();
  }

  /** The next part begins. */
  next(): void {
    this.#at++;
    this.#lines = 0;
    if (this.#output.isTTY === true) this.#draw();
    else this.#output.write(`${this.#status()}\n`);
  }

  /** Something was done; this is what. */
  readonly say = (line: string): void => {
    this.#lines++;
    this.around(() => this.#output.write(`${line}\n`));
  };

  /** Has something else written to the terminal. */
  around(write: () => void): void {
    const live = this.#output.isTTY === true && this.#at >= 0;
    if (live) this.#output.write(CLEAR_LINE);
    write();
    if (live) this.#draw();
  }

  /** Takes the last line away. */
  end(): void {
    if (this.#output.isTTY === true && this.#at >= 0) this.#output.write(CLEAR_LINE);
    this.#at = -1;
  }

  #draw(): void {
    const { columns = 80 } = this.#output;
    this.#output.write(`${CLEAR_LINE}${this.#status().slice(0, columns - 1)}`);
  }

  #status(): string {
    const part = this.#parts[this.#at];
    const share = Math.round(100 * this.#share());
    return `${part?.name ?? ""} (${this.#at + 1} of ${this.#parts.length}), ${share} %, ${inWords(this.#secondsLeft())} left`;
  }

  /** How much of the whole is done, from 0 to 1. */
  #share(): number {
    const total = sum(this.#parts);
    const before = sum(this.#parts.slice(0, this.#at));
    const { seconds = 0, lines = 1 } = this.#parts[this.#at] ?? {};
    return total === 0 ? 0 : (before + seconds * Math.min(1, this.#lines / lines)) / total;
  }

  /** As long as nothing was done, what was expected; then what it took so far says how long the rest will take. */
  #secondsLeft(): number {
    const share = this.#share();
    if (share === 0) return sum(this.#parts);
    return ((this.#now() - this.#startedAt) / 1000 / share) * (1 - share);
  }
}

function sum(parts: readonly Part[]): number {
  return parts.reduce((total, { seconds }) => total + seconds, 0);
}

function inWords(seconds: number): string {
  if (seconds < 60) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  return minutes === 1 ? "about a minute" : `about ${minutes} minutes`;
}
