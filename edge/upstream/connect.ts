import type { OnReadOpts, Socket } from "node:net";
import { connect } from "node:net";
import { EdgeError } from "../errors.ts";
import type { Address } from "../parse.ts";

export interface ConnectOptions {
  /**
   * For a tunnel, whose directions can end one by one; a kept HTTP connection must not have it, since a worker's FIN would
   * then go unnoticed until the connection is used again.
   */
  readonly allowHalfOpen?: boolean;
  /** Where bytes are read to, in place of the socket's own 'data' events. */
  readonly onread?: OnReadOpts;
}

/** Opens a connection to a worker. It is destroyed with `upstream_refused` when it takes longer than `connectMs`. */
export function connectTo(address: Address, connectMs: number, options: ConnectOptions = {}): Socket {
  const socket =
    address.kind === "unix"
      ? connect({ path: address.path, ...options })
      : connect({ host: address.host, port: address.port, noDelay: true, ...options });
  const timer = setTimeout(() => {
    socket.destroy(new EdgeError("upstream_refused", "the worker did not accept a connection in time"));
  }, connectMs);
  const clear = (): void => clearTimeout(timer);
  socket.once("connect", clear);
  socket.once("close", clear);
  return socket;
}
