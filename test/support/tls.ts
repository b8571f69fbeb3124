import dns from "node:dns";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { createSecureServer } from "node:http2";
import type { RequestListener, Server } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Server as TcpServer, Socket } from "node:net";
import type { TestContext } from "node:test";
import { isIP } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import type { TlsOptions } from "node:tls";
import type { Certified } from "./certificates.ts";
import { Authority } from "./certificates.ts";

type After = Pick<TestContext, "after">;

/** The authority that this process trusts, and a certificate of it for what the tests call their workers. */
export interface Trust {
  readonly authority: Authority;
  readonly good: Certified;
}

/** Names that lead to this machine, once `resolveNames` was called. */
export const NAMES = ["worker.test", "other.test", "service-abc.run.app"];

/** Makes an authority, and trusts it as if NODE_EXTRA_CA_CERTS had named it. */
export function trust(): Trust {
  const authority = new Authority();
  setDefaultCACertificates([...getCACertificates("default"), authority.cert]);
  return { authority, good: authority.issue({ names: ["localhost", "127.0.0.1", ...NAMES] }) };
}

type Lookup = (host: string, options: dns.LookupAllOptions, done: LookupDone) => void;
type LookupDone = (error: Error | null, addresses: dns.LookupAddress[]) => void;

/** Has these names lead to this machine, by these addresses, and all others where they always did. */
export function resolveNames(t: TestContext, addresses: readonly string[] = ["127.0.0.1"]): void {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  const real = dns.lookup as unknown as Lookup;
  const lookup: Lookup = (host, options, done) => {
    if (NAMES.includes(host)) queueMicrotask(() => done(null, all));
    else real(host, options, done);
  };
  t.mock.method(dns, "lookup", lookup as unknown as typeof dns.lookup);
}

/** What a TLS server has seen. */
export interface Secured {
  readonly port: number;
  /** Of each handshake: the name it was asked for, and whether it went on from an earlier one. */
  readonly handshakes: { readonly servername: string | false; readonly resumed: boolean }[];
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>;
}

async function secured(t: After, server: TcpServer): Promise<Secured> {
  const sockets = new Set<Socket>();
  const handshakes: Secured["handshakes"] = [];
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => {});
  server.on(
    "secureConnection",
    (socket: Socket & { servername: string | false; isSessionReused(): boolean }) =>
      handshakes.push({ servername: socket.servername, resumed: socket.isSessionReused() }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, handshakes, sockets };
}

/** An HTTP/1.1 worker over TLS; a WebSocketServer may be attached to `server`. */
export async function httpsWorker(
  t: After,
  certified: Certified,
  listener: RequestListener,
  options: TlsOptions = {},
): Promise<Secured & { server: Server; setSecureContext(options: TlsOptions): void }> {
  const server = createServer({ ...certified, keepAliveTimeout: 60_000, ...options }, listener);
  return {
    ...(await secured(t, server)),
    server: server as unknown as Server,
    setSecureContext: (changed) => server.setSecureContext(changed),
  };
}

/** An HTTP/2 worker over TLS. */
export async function secureHttp2Worker(
  t: After,
  certified: Certified,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: TlsOptions = {},
): Promise<Secured> {
  const server = createSecureServer({ ...certified, ...options });
  server.on("session", (session) => session.on("error", () => {}));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  return secured(t, server as unknown as TcpServer);
}
