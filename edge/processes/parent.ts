import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import { startAdmin } from "../admin/admin.ts";
import type { Config } from "../settings/config.ts";
import type { Family } from "../observe/families.ts";
import type { Phase } from "../lifecycle.ts";
import { listen } from "../port/listen.ts";
import type { Log } from "../observe/log.ts";
import { ProcessMetrics } from "../observe/process-families.ts";
import { cumulative, loadPrometheus } from "../observe/prometheus.ts";
import type { Swap, Upstreams } from "../upstream/swap.ts";
import { createSwap, upstreamsOf } from "../upstream/swap.ts";
import { within } from "../within.ts";
import type { Ended } from "./member.ts";
import { Member } from "./member.ts";
import { mergeUpstreams } from "./merge.ts";
import type { Report } from "./messages.ts";
import { fewestConnections } from "./pick.ts";

/** Milliseconds before a process that ended is started again: doubled each time, up to the last. */
const BACKOFF_MS = { first: 250, last: 10_000 };
/** Milliseconds after which a process that was started again has recovered. */
const STABLE_MS = 10_000;
/** Milliseconds beyond the drain time that the children have for their last words, and to exit. */
const GRACE_MS = 500;

/** A child that ended before the port was open: so would the next one. */
class EarlyEnd extends Error {
  readonly exitCode: number;

  constructor({ code, signal }: Ended) {
    super(`an edge process ended (${code ?? signal}) before it was ready`);
    this.exitCode = code === null || code === 0 ? 1 : code;
  }
}

/** Several edge processes behind one port. */
export interface Processes {
  readonly port: number;
  readonly swap: Swap;
  /** All children drain together. Resolves with the exit code: 0, or 1 when one had to be killed or failed. */
  drain(): Promise<number>;
}

/**
 * Starts `count` edge processes and opens the port once all are ready. Rejects with an `exitCode` when one ends before that,
 * and as startEdge does when a port cannot be had; `signal` gives up waiting. No child is left when it rejects.
 */
export async function startProcesses(
  config: Config,
  count: number,
  log: Log,
  signal: AbortSignal,
): Promise<Processes> {
  const parent = new Parent(config, count, log);
  try {
    await parent.start(signal);
    return { port: await parent.listen(), swap: parent.swap, drain: () => parent.drain() };
  } catch (thrown) {
    await parent.destroy();
    throw thrown;
  }
}

/**
 * Accepts every connection and gives it to the child that has the fewest. So few connections that carry much are spread
 * evenly, which SO_REUSEPORT leaves to chance, and a second program on the same port is still refused.
 *
 * A slot is a place for a child; who dies is replaced in its slot, after a pause that grows.
 */
class Parent {
  /** Exchanges the upstreams of all children, and of those to come. */
  readonly swap: Swap;
  readonly #config: Config;
  readonly #log: Log;
  readonly #slots: (Member | undefined)[];
  readonly #server: Server;
  readonly #restarts = new Set<NodeJS.Timeout>();
  #phase: "starting" | "open" | "draining" = "starting";
  #admin: Awaited<ReturnType<typeof startAdmin>> | undefined;
  #last: Member | undefined;
  #failed = false;
  #upstreams: Upstreams;
  /** What those had counted that have ended: a list for each until the next look makes it one. */
  #ended: (readonly Family[])[] = [];
  readonly #own = new ProcessMetrics();

  constructor(config: Config, count: number, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#upstreams = upstreamsOf(config);
    this.swap = createSwap(config, log, (upstreams) => this.#swap(upstreams));
    this.#slots = Array.from({ length: count });
    // Paused: not a byte is read here. What is set on the socket holds in the child, too.
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => {});
      this.#give(socket);
    });
  }

  /** Resolves when all children are ready; rejects when one ends before, and with the signal's reason. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#config.adminPort !== 0) this.#admin = await this.#startAdmin(this.#config.adminPort);
    const members = this.#slots.map((_, slot) => this.#fork(slot, 0));
    const gaveUp = Promise.withResolvers<never>();
    const giveUp = (): void => gaveUp.reject(signal.reason as Error);
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    const failed = members.map(async ({ ended }) => {
      throw new EarlyEnd(await ended);
    });
    // Children go on ending later; then nobody listens here any more.
    for (const each of failed) each.catch(() => {});
    await Promise.race([Promise.all(members.map(({ ready }) => ready)), gaveUp.promise, ...failed]).finally(
      () => signal.removeEventListener("abort", giveUp),
    );
  }

  async listen(): Promise<number> {
    const port = await listen(this.#server, this.#config.port);
    this.#phase = "open";
    return port;
  }

  async drain(): Promise<number> {
    this.#stop();
    this.#log.info({ connections: this.#connections() }, "draining");
    const members = this.#members();
    for (const member of members) member.drain();
    const ended = Promise.all(members.map((member) => member.ended));
    if (!(await within(this.#config.drainSeconds * 1000 + GRACE_MS, ended))) {
      this.#failed = true;
      for (const member of members) member.kill();
      await ended;
    }
    this.#closeAdmin();
    return this.#failed ? 1 : 0;
  }

  /** Ends everything at once; resolves when no child is left. */
  async destroy(): Promise<void> {
    this.#stop();
    this.#closeAdmin();
    const members = this.#members();
    for (const member of members) member.kill();
    await Promise.all(members.map((member) => member.ended));
  }

  #stop(): void {
    this.#phase = "draining";
    this.#server.close();
    for (const timer of this.#restarts) clearTimeout(timer);
  }

  #fork(slot: number, deaths: number): Member {
    const member = new Member(this.#upstreams, this.#phase !== "starting");
    this.#slots[slot] = member;
    void member.ended.then((how) => this.#onEnd(slot, member, how, deaths));
    return member;
  }

  #onEnd(slot: number, member: Member, how: Ended, deaths: number): void {
    this.#slots[slot] = undefined;
    this.#ended.push(cumulative(member.families));
    for (const socket of member.untaken()) this.#give(socket);
    if (this.#phase === "draining" && how.code !== 0 && member.wasReady) this.#failed = true;
    if (this.#phase !== "open") return;
    const recent = performance.now() - member.startedAt > STABLE_MS ? 1 : deaths + 1;
    const waitMs = Math.min(BACKOFF_MS.last, BACKOFF_MS.first * 2 ** (recent - 1));
    this.#log.error(
      { pid: member.pid, exit: how.code ?? how.signal, restartMs: waitMs },
      "edge process ended",
    );
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      const next = this.#fork(slot, recent);
      void next.ready.then(() => this.#log.info({ pid: next.pid }, "edge process ready"));
    }, waitMs);
    this.#restarts.add(timer);
  }

  /**
   * With no child to take it, a connection is closed: whoever asks learns at once. One that drains is none: it has closed
   * what had not spoken yet, and what comes later would wait for it to end.
   */
  #give(socket: Socket): void {
    const takers = this.#phase === "draining" ? [] : this.#members().filter((member) => member.isReady);
    const member = fewestConnections(takers, this.#last);
    if (member === undefined) return void socket.destroy();
    this.#last = member;
    member.give(socket);
  }

  #swap(upstreams: Upstreams): void {
    this.#upstreams = upstreams;
    for (const member of this.#members()) member.swap(upstreams);
  }

  #members(): Member[] {
    return this.#slots.filter((member) => member !== undefined);
  }

  #connections(): number {
    return this.#members().reduce((sum, { connections }) => sum + connections, 0);
  }

  /** Ready while there is a child to serve. */
  #phaseOfAll(): Phase {
    if (this.#phase === "draining") return "draining";
    return this.#phase === "open" && this.#members().some(({ isReady }) => isReady) ? "ready" : "starting";
  }

  async #reports(): Promise<Report[]> {
    const reports = await Promise.all(this.#members().map((member) => member.ask()));
    return reports.filter((report) => report !== undefined);
  }

  /** Counters are never less than before: one that falls was reset, to whoever reads it. */
  async #metrics(): Promise<string> {
    const { merge, render } = await loadPrometheus();
    await Promise.all(this.#members().map((member) => member.ask(true)));
    this.#ended = [merge(this.#ended)];
    const own = this.#own.families({ dropped: this.#log.lines.dropped, leftOut: 0 });
    return render([...this.#members().map(({ families }) => families), ...this.#ended, own]);
  }

  #startAdmin(port: number): ReturnType<typeof startAdmin> {
    return startAdmin(port, {
      phase: () => this.#phaseOfAll(),
      running: async () => (await this.#reports()).reduce((sum, { running }) => sum + running, 0),
      upstreams: async () => mergeUpstreams((await this.#reports()).map(({ upstreams }) => upstreams)),
      swap: this.swap,
      metrics: () => this.#metrics(),
      pages: {
        "/processes": () =>
          this.#members().map(({ pid, isReady, connections }) => ({ pid, ready: isReady, connections })),
      },
    });
  }

  #closeAdmin(): void {
    this.#admin?.close();
    this.#admin?.closeAllConnections();
  }
}
