import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import type { Contender } from "./contender.ts";

/** What the numbers were measured on and with, as a markdown list. `on` is the day. */
export function describeMachine(contenders: readonly Contender[], on: Date): string {
  const all = cpus();
  const peers = contenders.flatMap(({ name, peer }) =>
    peer === undefined ? [] : [`${name} ${versionOf(peer.binary, peer.versionArgs)}`],
  );
  return [
    `- ${on.toISOString().slice(0, 10)}`,
    `- ${all.length} × ${all[0]?.model.trim() ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    `- node ${process.version}, h2load ${versionOf("h2load", ["--version"])}`,
    `- peers: ${peers.length === 0 ? "none" : peers.join(", ")}`,
  ].join("\n");
}

/** What a program on PATH says its version is. */
export function versionOf(binary: string, args: readonly string[]): string {
  // nginx tells it on stderr.
  const said = execFileSync("/bin/sh", ["-c", '"$0" "$@" 2>&1', binary, ...args], { encoding: "utf8" });
  return /[0-9]+(\.[0-9]+)+/.exec(said)?.[0] ?? "of an unknown version";
}
