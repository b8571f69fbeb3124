import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  path: "/ws",
  // ws itself allows 100 MiB.
  maxPayload: 1_048_576,
});

server.on("connection", (socket, request) => {
  const hello = request.headers["x-auth-email"] ?? "nobody";
  socket.on("message", (data) => socket.send(JSON.stringify({ hello, message: String(data) })));
  // A message that breaks the rules closes its connection; without a listener it would end the process.
  socket.on("error", () => {});
});

process.on("SIGTERM", () => {
  for (const socket of server.clients) socket.close(1001);
  server.close();
});
