import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { listening, onStop, readListen } from "../worker.ts";
import { serviceDefinition } from "./definition.ts";
import { echo } from "./echo.ts";
import { Echo } from "./gen/echo_pb.ts";
import { addReflection } from "./reflection.ts";

/** Bytes of one message, in and out. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Milliseconds that running calls have once asked to stop. */
const DRAIN_MS = 8000;

const { host, port } = readListen("grpc", 8082);
const server = new Server({
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
});
server.addService(serviceDefinition(Echo), echo);
const health = new HealthImplementation({ "": "SERVING", Echo: "SERVING" });
health.addToServer(server);
addReflection(server);

onStop(() => {
  health.setStatus("", "NOT_SERVING");
  const deadline = setTimeout(() => server.forceShutdown(), DRAIN_MS);
  server.tryShutdown(() => {
    clearTimeout(deadline);
    process.exit(0);
  });
});
server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
  if (error !== null) {
    process.stderr.write(`the grpc worker cannot listen: ${error.message}\n`);
    process.exit(1);
  }
  listening("grpc", { address: host, family: "IPv4", port: bound });
});
