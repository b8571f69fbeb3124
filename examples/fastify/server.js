import Fastify from "fastify";

// The edge writes x-forwarded-*: with trustProxy, request.ip, request.protocol and request.host are the client's.
const app = Fastify({ trustProxy: "loopback" });

app.get("/ping", async () => ({ message: "pong" }));
app.get("/", async (request) => ({ hello: request.headers["x-auth-email"] ?? "nobody" }));

const listening = app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
// Before the port opens: whoever sees it open may end this.
process.on("SIGTERM", () => listening.then(() => app.close()));
await listening;
