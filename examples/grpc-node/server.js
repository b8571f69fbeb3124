import { Server, ServerCredentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { Echo } = loadPackageDefinition(loadSync(new URL("../../proto/echo.proto", import.meta.url).pathname));
const server = new Server();

server.addService(Echo.service, {
  Ping(call, reply) {
    const [who = "nobody"] = call.metadata.get("x-auth-email");
    reply(null, { message: `hello ${who}` });
  },
  Chat(call) {
    call.pipe(call);
  },
});

// Calls under way are finished, and no new ones taken. Before the port opens: whoever sees it open may end this.
process.on("SIGTERM", () => server.tryShutdown(() => process.exit()));

server.bindAsync(`127.0.0.1:${process.env.PORT}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
