import type { RequestListener, Server } from "node:http";
import { createServer } from "node:http";
import type {
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
  Settings,
} from "node:http2";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createServer as createTcpServer } from "node:net";
import type { TestContext } from "node:test";

type After = Pick<TestContext, "after">;

/** Listens on a free loopback port. */
async function listen(
  t: After,
  server: Server | ReturnType<typeof createTcpServer>,
  close: () => void,
): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(close);
  return (server.address() as AddressInfo).port;
}

/** An HTTP worker that does what the test wants; answers its address for HTTP_UPSTREAMS. */
export async function httpWorker(t: After, listener: RequestListener): Promise<string> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener);
  const port = await listen(t, server, () => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${port}`;
}

/** A worker that writes bytes, not messages. `onData` gets what each connection has sent so far. */
export async function rawWorker(
  t: After,
  onData: (socket: Socket, text: string, connection: number) => void,
): Promise<string> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    const connection = ++connections;
    let text = "";
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      onData(socket, text, connection);
    });
  });
  const port = await listen(t, server, () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${port}`;
}

/** An HTTP/2 worker for GRPC_UPSTREAMS that does what the test wants with each stream. */
export async function http2Worker(t: After, onStream: OnStream, settings: Settings = {}): Promise<string> {
  return (await startHttp2(t, onStream, settings)).address;
}

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** As http2Worker; the server as well. */
export async function startHttp2(
  t: After,
  onStream: OnStream,
  settings: Settings,
): Promise<{ address: string; server: Http2Server }> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server({ settings });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  const port = await listen(t, server as unknown as Server, () => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  return { address: `h2c://127.0.0.1:${port}`, server };
}

export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
