import { readFileSync, readdirSync } from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Family, Sample } from "./families.ts";
import { counter, gauge, sample } from "./families.ts";
import { mostOpenFiles } from "../port/open-files.ts";

/** How often the event loop's delay is measured, in milliseconds, once somebody has asked for it. */
const LAG_EVERY_MS = 20;

/** Log lines that were not written: nobody read them in time, or they were too many. */
export interface LogCounts {
  readonly dropped: number;
  readonly leftOut: number;
}

/** What is measured of this process. Made once; nothing is measured, and no timer runs, before the first `families`. */
export class ProcessMetrics {
  #lag: ReturnType<typeof monitorEventLoopDelay> | undefined;
  /** Read when there are files left. */
  readonly #version = readVersion();

  /** The event loop's lag is that since the last call: each is told what came after the one before. */
  families(log: LogCounts): Family[] {
    const { used_heap_size: heapUsed } = getHeapStatistics();
    const { user, system } = process.cpuUsage();
    const version = this.#version;
    // prettier-ignore
    return [
      ...this.#loopFamilies(),
      counter("oneport_log_lines_dropped_total", "Log lines that were thrown away because nobody read them in time.", [sample(log.dropped)]),
      counter("oneport_log_lines_left_out_total", "Exchanges without a log line because there were more than LOG_REQUESTS allows in a second.", [sample(log.leftOut)]),
      gauge("oneport_processes", "Processes that these numbers are the sum of.", [sample(1)]),
      gauge("oneport_build_info", "1; what runs.", [sample(1, { version, node: process.versions.node })], "max"),
      counter("process_cpu_seconds_total", "CPU time used.", [sample((user + system) / 1e6)]),
      gauge("process_resident_memory_bytes", "Memory in use.", told(() => process.memoryUsage.rss())),
      gauge("process_heap_bytes", "Bytes of the JavaScript heap in use.", [sample(heapUsed)]),
      gauge("process_open_fds", "Open file descriptors.", told(openFiles)),
      gauge("process_max_fds", "File descriptors that a process may have open.", told(mostOpenFiles), "min"),
      gauge("process_start_time_seconds", "When it started, in seconds since 1970.", [sample(performance.timeOrigin / 1000)], "min"),
    ];
  }

  #loopFamilies(): Family[] {
    const lag = this.#lag;
    const measured = lag !== undefined && lag.count > 0;
    const [p50, p99, max] = measured
      ? [late(lag.percentile(50)), late(lag.percentile(99)), late(lag.max)]
      : [0, 0, 0];
    if (lag === undefined) {
      this.#lag = monitorEventLoopDelay({ resolution: LAG_EVERY_MS });
      this.#lag.enable();
    } else lag.reset();
    const { active } = performance.eventLoopUtilization();
    // prettier-ignore
    return [
      counter("oneport_event_loop_busy_seconds_total", "Time that the event loop was not waiting.", [sample(active / 1000)]),
      gauge("oneport_event_loop_lag_p50_seconds", "How late the event loop was since the last look, median.", [sample(p50)], "max"),
      gauge("oneport_event_loop_lag_p99_seconds", "How late the event loop was since the last look, 99th percentile.", [sample(p99)], "max"),
      gauge("oneport_event_loop_lag_max_seconds", "How late the event loop was since the last look, at most.", [sample(max)], "max"),
    ];
  }
}

/** What is measured, in nanoseconds, is how far apart two looks were that should have been LAG_EVERY_MS apart. In seconds. */
function late(ns: number): number {
  return Math.max(0, ns / 1e9 - LAG_EVERY_MS / 1000);
}

function readVersion(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/**
 * What is only told in /proc: nothing where there is no such folder, or where the process has used up its files and can open none
 * there.
 */
function told(read: () => number | undefined): Sample[] {
  try {
    const value = read();
    return value === undefined ? [] : [sample(value)];
  } catch {
    return [];
  }
}

/** Reading the folder opens one. */
function openFiles(): number {
  return readdirSync("/proc/self/fd").length - 1;
}
