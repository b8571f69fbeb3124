/** What one peer may do, and for how long it may do nothing. The defaults and their meaning are in config.ts. */
export interface Limits {
  /** Streams that the client resets, or that it makes us reset, at once (CVE-2023-44487, CVE-2025-8671). */
  readonly resets: number;
  /** PING and SETTINGS frames at once, each of which wants an answer (CVE-2019-9512, CVE-2019-9515). */
  readonly answers: number;
  /** Frames that carry nothing at once: empty DATA and CONTINUATION, PRIORITY, ACKs, GOAWAY (CVE-2019-9518). */
  readonly empty: number;
  /** Small WINDOW_UPDATEs at once. */
  readonly updates: number;
  /** CONTINUATION frames of one header block (CVE-2024-27316). */
  readonly continuations: number;
  /** Milliseconds in which a peer has to take PROGRESS_BYTES of what waits for it (CVE-2019-9511, CVE-2019-9517). */
  readonly stallMs: number;
  /** Milliseconds of silence after which a peer with open streams is asked whether it is still there. */
  readonly quietMs: number;
  /** Milliseconds that the first SETTINGS, the ACK of ours, the rest of a head and the answer to a PING may take. */
  readonly headMs: number;
  /** Milliseconds that a connection without streams is kept. */
  readonly idleMs: number;
}

/** Each limit that a peer can exceed, with the sentence it is told, and the log and the metric tell. */
export const EXCEEDED = {
  resets: "too many streams that were reset (rapid reset: CVE-2023-44487, CVE-2025-8671)",
  answers: "too many PING and SETTINGS frames (CVE-2019-9512, CVE-2019-9515)",
  empty: "too many frames that carry nothing (CVE-2019-9518)",
  updates: "too many small WINDOW_UPDATE frames",
  continuations: "a header block in too many CONTINUATION frames (CVE-2024-27316)",
  stall: "nothing of what waits was taken for too long (CVE-2019-9511, CVE-2019-9517)",
  quiet: "no answer to a PING: the other end is gone",
  head_time: "SETTINGS, their ACK or the rest of a head did not come in time",
  head_bytes: "a request head that is too large",
  streams: "too many concurrent streams",
  idle: "a connection on which nothing was asked for too long",
  held: "clients and workers leave too much untaken: the connections that hold most of it are ended (LIMIT_HELD_MIB)",
  connections: "as many client connections as there may be: closed at once (LIMIT_CONNECTIONS)",
} as const;

export type LimitName = keyof typeof EXCEEDED;

/** Less than this in `stallMs` is no progress. */
export const PROGRESS_BYTES = 1024;
