import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";

/** Free loopback ports; all are held until all are known, so that none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** A free port for each protocol. */
export async function portPerProtocol(): Promise<Record<"grpc" | "h2c" | "h1" | "ws", number>> {
  const [grpc = 0, h2c = 0, h1 = 0, ws = 0] = await freePorts(4);
  return { grpc, h2c, h1, ws };
}
