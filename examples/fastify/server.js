import Fastify from "fastify";

// The edge writes x-forwarded-*: with trustProxy, request.ip, request.protocol and request.host are the client's.
const app = Fastify({ trustProxy: "loopback" });

app.get("/ping", async () => ({ message: "pong" }));
app.get("/", async (request) => ({ hello: request.headers["x-auth-email"] ?? "nobody" }));

// Before the port opens: whoever sees it open may end this.
process.on("SIGTERM", () => app.close());
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
