import type { OnReadOpts, Socket, TcpNetConnectOpts } from "node:net";
import { connect, isIP } from "node:net";
import type { ConnectionOptions, SecureContext, TLSSocket } from "node:tls";
import { EdgeError, fromConnecting, fromSecuring } from "../errors.ts";
import type { Address, TlsAddress } from "../settings/parse.ts";

/** What the connections over TLS to one worker have in common. Empty at first. */
export interface TlsMemory {
  context?: SecureContext;
  /** Of the last connection, so that the next handshake is a short one (RFC 8446, section 2.2). */
  session?: Buffer | undefined;
}

export interface ConnectOptions {
  /**
   * For a tunnel, whose directions can end one by one; a kept HTTP connection must not have it, since a worker's FIN would
   * then go unnoticed until the connection is used again.
   */
  readonly allowHalfOpen?: boolean;
  /** Where bytes are read to, in place of the socket's own 'data' events. */
  readonly onread?: OnReadOpts;
}

/**
 * A machine may vanish without a word, and take along the calls that wait for it: after so many milliseconds without a byte the network
 * is asked whether the other end is still there, ten times, a second apart.
 */
const KEEPALIVE = { keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

/**
 * Opens a connection to a worker, its TLS handshake included. It is destroyed with `upstream_refused` when that takes longer
 * than `connectMs`.
 */
export function connectTo(
  address: Address,
  connectMs: number,
  options: ConnectOptions = {},
  memory: TlsMemory = {},
): Socket {
  const socket = open(address, options, memory);
  const timer = setTimeout(() => {
    socket.destroy(new EdgeError("upstream_refused", "the worker did not accept a connection in time"));
  }, connectMs);
  const clear = (): void => {
    clearTimeout(timer);
    // A connection may be silent for hours: what was only for its beginning is not kept.
    socket.off("close", clear);
  };
  socket.once(readyEvent(address), clear);
  socket.on("close", clear);
  return socket;
}

/** The event by which a connection is there to be used: over TLS not before the worker has proved who it is. */
export function readyEvent({ kind }: Address): "connect" | "secureConnect" {
  return kind === "tls" ? "secureConnect" : "connect";
}

/** What a connection to a worker broke off with, before it was there, as one of our rows. */
export function failedBy({ kind }: Address, thrown: unknown): EdgeError {
  return kind === "tls" ? fromSecuring(thrown) : fromConnecting(thrown);
}

/**
 * Why a connection that is there is of no use; undefined when it is. HTTP/2 over TLS has to be agreed on (RFC 9113, section
 * 3.2): a worker that did not choose it would take the preface for a request.
 */
export function unfit(address: Address, socket: Socket): EdgeError | undefined {
  if (address.kind !== "tls" || address.alpn !== "h2") return undefined;
  if ((socket as TLSSocket).alpnProtocol === "h2") return undefined;
  return new EdgeError("upstream_tls", "the worker does not speak HTTP/2 over TLS");
}

/** What a request hears that would go to a worker which was given up: nothing of it was sent. */
export function givenUp(): EdgeError {
  return new EdgeError("upstream_unprocessed", "the worker is no longer asked");
}

function open(address: Address, options: ConnectOptions, memory: TlsMemory): Socket {
  switch (address.kind) {
    case "unix":
      return connect({ path: address.path, ...options });
    case "tcp":
      return connect({ host: address.host, port: address.port, noDelay: true, ...KEEPALIVE, ...options });
    case "tls":
      return openTls(address, options, memory);
  }
}

function openTls({ host, port, alpn }: TlsAddress, options: ConnectOptions, memory: TlsMemory): Socket {
  // Loaded when a worker is first reached this way: others do not pay for it.
  const tls = process.getBuiltinModule("node:tls");
  const all: ConnectionOptions & TcpNetConnectOpts = {
    host,
    port,
    // RFC 6066, section 3: an address is no server name. The certificate is held against `host` then.
    servername: isIP(host) === 0 ? host : "",
    ALPNProtocols: [alpn],
    secureContext: (memory.context ??= tls.createSecureContext()),
    noDelay: true,
    ...KEEPALIVE,
    rejectUnauthorized: true,
    ...options,
  };
  if (memory.session !== undefined) all.session = memory.session;
  const socket = tls.connect(all);
  socket.on("session", (session) => (memory.session = session));
  socket.once("error", () => (memory.session = undefined));
  return socket;
}
