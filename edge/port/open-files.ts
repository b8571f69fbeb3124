import { readFileSync } from "node:fs";

/** Files that a process needs beside those of its connections: what it has open when idle is 30, the rest is room for what comes and goes. */
const SPARE_FILES = 64;

/** Files that this process may have open; undefined where the system does not say. Node has asked for as many as it may have. */
export function mostOpenFiles(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    // Not a Linux: there is no such file.
    return undefined;
  }
}

/** Client connections for which so many files are enough: each may want a second one, towards a worker. Pure. */
export function connectionsFor(files: number | undefined): number {
  return files === undefined ? Infinity : Math.max(1, Math.floor((files - SPARE_FILES) / 2));
}

/** True when so many connections cannot be had with so many files, even if none wants a second one. Pure. */
export function isBeyond(files: number | undefined, connections: number): boolean {
  return files !== undefined && connections > files - SPARE_FILES;
}
