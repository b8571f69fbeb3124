import type { Server } from "node:net";

/** Opens a TCP port on all interfaces; 0 takes a free one. Resolves with its number; rejects when it cannot be had. */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // No host: all interfaces, IPv6 and IPv4 on one socket where the system has both.
    server.listen(port, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
