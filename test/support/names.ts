import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Program, ROOT } from "./processes.ts";

/** A loopback address of our own: port 53 may be taken on the usual one. */
const ADDRESS = "127.9.9.53";
/** Answer: the name of the question, type A, class IN, no time to live, 127.0.0.1. */
const LOOPBACK = Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
const TYPE_A = 1;

/** A name server for which every name is this machine, and which can fall silent. */
export interface NameServer {
  isSilent: boolean;
}

export async function nameServer(t: TestContext): Promise<NameServer> {
  const names: NameServer = { isSilent: false };
  const socket = createSocket("udp4");
  socket.on("message", (query, { port, address }) => {
    if (!names.isSilent) socket.send(answer(query), port, address);
  });
  socket.bind(53, ADDRESS);
  await once(socket, "listening");
  t.after(() => socket.close());
  return names;
}

/** RFC 1035, section 4.1: the question comes back, with an address if one was asked for. */
function answer(query: Buffer): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const hasAddress = query.readUInt16BE(end - 4) === TYPE_A;
  const head = Buffer.from(query.subarray(0, end));
  head.writeUInt16BE(0x8180, 2);
  for (const [at, count] of [
    [4, 1],
    [6, hasAddress ? 1 : 0],
    [8, 0],
    [10, 0],
  ] as const)
    head.writeUInt16BE(count, at);
  return hasAddress ? Buffer.concat([head, LOOPBACK]) : head;
}

/** Why a program cannot be given a name server of its own here; false when it can. */
export function whyNoNames(): string | false {
  if (process.getuid?.() !== 0) return "only root can give a program a name server of its own";
  try {
    execFileSync("unshare", ["-m", "true"], { stdio: "ignore" });
    return false;
  } catch {
    return "unshare -m does not work here";
  }
}

/** A program of ours that asks this name server, and waits two seconds for it. */
export function withNames(t: TestContext, path: string, env: Record<string, string>): Program {
  const folder = mkdtempSync(join(tmpdir(), "oneport-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "resolv.conf");
  writeFileSync(file, `nameserver ${ADDRESS}\noptions timeout:1 attempts:2\n`);
  const script = `mount --bind "${file}" /etc/resolv.conf && exec "$0" "$1"`;
  const program = new Program("unshare", ["-m", "sh", "-c", script, process.execPath, ROOT + path], env);
  t.after(() => program.stop("SIGKILL"));
  return program;
}
