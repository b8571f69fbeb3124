import express from "express";

const app = express();
// The edge writes x-forwarded-*: with this, req.ip, req.protocol and req.host are the client's.
app.set("trust proxy", "loopback");

app.get("/ping", (_req, res) => res.json({ message: "pong" }));
app.get("/", (req, res) => res.json({ hello: req.get("x-auth-email") ?? "nobody" }));

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close());
