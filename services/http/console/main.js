import { startGrpc } from "./grpc.js";
import { startHttp } from "./http.js";
import { Panel, watchHops } from "./panel.js";
import { startWebSocket } from "./websocket.js";

document.getElementById("access").addEventListener("submit", (event) => event.preventDefault());
const http = new Panel("http");
const grpc = new Panel("grpc");
startHttp(http);
startGrpc(grpc);
startWebSocket(new Panel("websocket"));
watchHops(
  new Map([
    ["/echo", http],
    ["/events", http],
    ["/Echo/Ping", grpc],
    ["/Echo/Count", grpc],
  ]),
);
