import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import type { Socket } from "node:net";
import type { Family } from "../observe/families.ts";
import type { Upstreams } from "../upstream/swap.ts";
import { settingsOf } from "../upstream/swap.ts";
import type { Report, ToChild, ToParent } from "./messages.ts";

/** How a process ended: `code` is null when a signal ended it. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Milliseconds a child has to take a connection, and to answer; one that is stuck takes longer. */
const TAKE_MS = 10_000;
const ANSWER_MS = 1000;

const CHILD = new URL("child.ts", import.meta.url).pathname;

/**
 * One child, as its parent sees it.
 *
 * A connection stays with the parent, unread, until the child says that it has it: Node drops without a word what is on
 * its way to a process that dies, and the client would wait for ever.
 */
export class Member {
  readonly startedAt = performance.now();
  /** Resolves when the child says that it can take connections; never, when it ends first. */
  readonly ready: Promise<void>;
  /** Resolves when the child is gone and all it said was heard. */
  readonly ended: Promise<Ended>;
  /** Whether it can take connections now, and whether it ever could. */
  isReady = false;
  wasReady = false;
  /** What it had counted when it was last heard of that: it may take the rest with it. */
  families: readonly Family[] = [];
  readonly #child: ChildProcess;
  readonly #onWay = new Map<number, Socket>();
  readonly #asked = new Map<number, (report: Report | undefined) => void>();
  /** Open connections that it has taken. */
  #taken = 0;
  #ids = 0;

  /** Starts the child, in front of `upstreams`; `again` when it takes the place of another. */
  constructor(upstreams: Upstreams, again: boolean) {
    this.#child = fork(CHILD, again ? ["--again"] : [], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { ...process.env, ...settingsOf(upstreams) },
    });
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Ended>();
    this.ready = ready.promise;
    this.ended = ended.promise;
    this.#child.on("message", (message: ToParent) => this.#hear(message, ready.resolve));
    // 'close' and not 'exit': only then has everything been read that the child said before.
    this.#child.once("close", (code, signal) => this.#end({ code, signal }, ended.resolve));
    this.#child.once("error", () => {
      if (this.#child.pid === undefined) this.#end({ code: 1, signal: null }, ended.resolve);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Open connections, those on their way included. */
  get connections(): number {
    return this.#taken + this.#onWay.size;
  }

  /** Passes a connection on. It comes back by untaken() when the child dies before it took it. */
  give(socket: Socket): void {
    const id = ++this.#ids;
    this.#onWay.set(id, socket);
    // Closes this process's copy alone: a child that takes it after all still has its own.
    socket.setTimeout(TAKE_MS, () => this.#letGo(id));
    this.#say({ kind: "connection", id }, socket);
  }

  /** The connections that the child never took. They are the caller's from now on. */
  untaken(): Socket[] {
    const left = [...this.#onWay.values()];
    this.#onWay.clear();
    for (const socket of left) socket.setTimeout(0);
    return left;
  }

  /** What the child knows; undefined when it does not answer in time. */
  async ask(metrics = false): Promise<Report | undefined> {
    const id = ++this.#ids;
    const answer = Promise.withResolvers<Report | undefined>();
    const timer = setTimeout(() => answer.resolve(undefined), ANSWER_MS);
    this.#asked.set(id, answer.resolve);
    this.#say({ kind: "ask", id, metrics });
    return answer.promise.finally(() => {
      clearTimeout(timer);
      this.#asked.delete(id);
    });
  }

  /** Lets the child finish what it has and end; one that was not ready ends at once. */
  drain(): void {
    if (this.isReady) this.#say({ kind: "drain" });
    else this.kill();
  }

  /** Sends the child's new requests to these. */
  swap(upstreams: Upstreams): void {
    this.#say({ kind: "swap", upstreams });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #hear(message: ToParent, ready: () => void): void {
    switch (message.kind) {
      case "ready":
        this.isReady = true;
        this.wasReady = true;
        return ready();
      case "connections":
        this.#taken += message.taken.length - message.closed;
        for (const id of message.taken) this.#letGo(id);
        return;
      case "report":
        this.families = message.report.families ?? this.families;
        return this.#asked.get(message.id)?.(message.report);
    }
  }

  #end(how: Ended, ended: (how: Ended) => void): void {
    this.isReady = false;
    for (const resolve of this.#asked.values()) resolve(undefined);
    ended(how);
  }

  #letGo(id: number): void {
    this.#onWay.get(id)?.destroy();
    this.#onWay.delete(id);
  }

  /** A child that is gone need not be told; 'close' says what follows. */
  #say(message: ToChild, socket?: Socket): void {
    this.#child.send(message, socket, { keepOpen: true }, () => {});
  }
}
