import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Protocol } from "./calls.ts";

/** Milliseconds between two attempts to connect. */
const PAUSE_MS = 10;

/** Free loopback ports; all are held until all are known, so that none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** A free port for each protocol. */
export async function portPerProtocol(): Promise<Record<Protocol, number>> {
  const [grpc = 0, h2c = 0, h1 = 0, ws = 0, wsH2 = 0] = await freePorts(5);
  return { grpc, h2c, h1, ws, "ws-h2": wsH2 };
}

/**
 * Resolves once something listens there. Rejects when the signal says so. A refused connection answers at once, so asking again is
 * not a guess at anybody's speed.
 */
export async function portIsOpen(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const open = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await sleep(PAUSE_MS, undefined, { signal });
  }
}
