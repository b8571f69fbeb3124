import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Backends } from "./backends.ts";
import type { Issuer } from "./issuer.ts";
import type { Protocol } from "./calls.ts";
import type { Program } from "./programs.ts";

/** What a contender is set up with. */
export interface Site {
  /** Where it may keep its files; removed at the end. */
  readonly folder: string;
  readonly backends: Backends;
  readonly issuer: Issuer;
  /** Client connections that a contender has to be ready for. */
  readonly connections: number;
}

/** Enough for every row but that of idle WebSockets. */
export const CONNECTIONS = 2048;

/** How to start a contender and where it will answer. */
export interface Launch {
  /** None when the workers themselves are measured. */
  readonly program: Program | undefined;
  /** A protocol without a port is one it does not offer. */
  readonly ports: { readonly [P in Protocol]?: number };
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Contender {
  readonly name: string;
  readonly doc: string;
  /** The program on PATH, for a peer: what the others are compared to. */
  readonly peer: { readonly binary: string; readonly versionArgs: readonly string[] } | undefined;
  /** Refuses requests without its headers; checked before it is measured. */
  readonly guarded: boolean;
  /** Sends a token with every request: takes part by default only where that shows. */
  readonly sendsToken: boolean;
  prepare(site: Site): Promise<Launch>;
}

/** Whether a program is on PATH. */
export function isOnPath(binary: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, binary), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
